BEGIN TRANSACTION;
CREATE TABLE events (
	id TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	name TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	phase TEXT NOT NULL, 
	level TEXT NOT NULL, 
	revision INTEGER NOT NULL, 
	started DOUBLE NOT NULL, 
	updated DOUBLE NOT NULL, 
	ended DOUBLE, 
	words TEXT NOT NULL, 
	course TEXT NOT NULL, 
	folder TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "events" VALUES('event-1','machine','pump-3','sound','end','warning',1,1790000000.0,1790000060.0,1790000060.0,'["New tone at 3 kHz.","revision 0"]','[[1790000000.0,1.5],[1790000010.0,1.75]]',NULL);
INSERT INTO "events" VALUES('event-2','machine','"a \"pump\"\u0000"','sound','new','warning',0,1790000000.0,1790000000.0,NULL,'["New tone at 3 kHz.","revision 0"]','[[1790000000.0,1.5],[1790000010.0,1.75]]',NULL);
CREATE TABLE feedback (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	at DOUBLE NOT NULL, 
	name TEXT NOT NULL, 
	event TEXT, 
	kind TEXT NOT NULL, 
	note TEXT NOT NULL, 
	undone DOUBLE
);
INSERT INTO "feedback" VALUES(1,1790000000.0,'pump-3','event-1','normal','a delivery',NULL);
CREATE TABLE monitor_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT monitor_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "monitor_version" VALUES('0001');
CREATE TABLE outbox (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	sink TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	event TEXT NOT NULL, 
	created DOUBLE NOT NULL, 
	attempts INTEGER NOT NULL, 
	failed_at DOUBLE, 
	retry_at DOUBLE, 
	error TEXT, 
	CONSTRAINT outbox_once UNIQUE (sink, "key")
);
INSERT INTO "outbox" VALUES(1,'mqtt','event-1:0','{"id":"event-1","subject":"machine","name":"pump-3","kind":"sound","phase":"new","level":"warning","revision":0,"started":1790000000.0,"updated":1790000000.0,"ended":null,"words":["New tone at 3 kHz.","revision 0"],"course":[[1790000000.0,1.5],[1790000010.0,1.75]],"folder":null}',1790000000.0,1,1790000000.0,1790000060.0,'away');
INSERT INTO "outbox" VALUES(2,'mqtt','event-2:0','{"id":"event-2","subject":"machine","name":"a \"pump\"\u0000","kind":"sound","phase":"new","level":"warning","revision":0,"started":1790000000.0,"updated":1790000000.0,"ended":null,"words":["New tone at 3 kHz.","revision 0"],"course":[[1790000000.0,1.5],[1790000010.0,1.75]],"folder":null}',1790000000.0,0,NULL,NULL,NULL);
INSERT INTO "outbox" VALUES(3,'mqtt','event-1:1','{"id":"event-1","subject":"machine","name":"pump-3","kind":"sound","phase":"end","level":"warning","revision":1,"started":1790000000.0,"updated":1790000060.0,"ended":1790000060.0,"words":["New tone at 3 kHz.","revision 0"],"course":[[1790000000.0,1.5],[1790000010.0,1.75]],"folder":null}',1790000060.0,0,NULL,NULL,NULL);
CREATE TABLE silences (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name TEXT NOT NULL, 
	since DOUBLE NOT NULL, 
	until DOUBLE NOT NULL, 
	reason TEXT NOT NULL
);
INSERT INTO "silences" VALUES(1,'*',1790000000.0,1790000060.0,'cleaning');
CREATE TABLE states (
	"key" TEXT NOT NULL, 
	state TEXT NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "states" VALUES('tracker/pump-3','{"open":"event-2"}');
CREATE INDEX events_by_start ON events (started);
CREATE INDEX events_by_end ON events (ended);
CREATE INDEX outbox_in_order ON outbox (sink, id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('outbox',3);
INSERT INTO "sqlite_sequence" VALUES('silences',1);
INSERT INTO "sqlite_sequence" VALUES('feedback',1);
COMMIT;
