"use strict";

// Names of files are never markup: text goes into the page by textContent alone.
const byId = (id) => document.getElementById(id);
const clips = JSON.parse(byId("report-clips").textContent);
const decision = JSON.parse(byId("report-threshold").textContent);
const SHOWN_AT_ONCE = 200;
const VERDICTS = {
  anomalous: ["●", "sounds wrong"],
  unlike: ["◆", "recorded differently"],
  outlier: ["◆", "unlike the rest"],
  normal: ["○", "sounds normal"],
  usual: ["○", "like the rest"],
};
const LABELS = ["normal", "anomalous"];

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function append(parent, ...children) {
  parent.append(...children.filter(Boolean));
  return parent;
}

// A number with as many digits as a reader needs, with a true minus sign.
function shown(value, digits = 3) {
  return (Math.abs(value) >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(digits)))).replace("-", "−");
}

// ---- Recordings: filter, order, rows ----

const collator = new Intl.Collator(undefined, { numeric: true });
const SORTS = {
  worst: ["worst first", (a, b) => a.place - b.place],
  score: ["score, highest first", (a, b) => b.score - a.score || a.place - b.place],
  lowest: ["score, lowest first", (a, b) => a.score - b.score || a.place - b.place],
  name: ["name", (a, b) => collator.compare(a.name, b.name)],
  time: ["time", (a, b) => a.order - b.order],
  label: ["label, anomalous first", (a, b) => (b.label ?? -1) - (a.label ?? -1) || a.place - b.place],
};

function isWrong(clip) {
  return clip.label !== null && (clip.verdict === "anomalous") !== (clip.label === 1);
}

function isPlain(clip) {
  return clip.verdict === "normal" || clip.verdict === "usual";
}

function startList() {
  clips.forEach((clip, place) => { clip.place = place; });
  const list = { element: byId("clips"), items: new Map(), chosen: [], upTo: SHOWN_AT_ONCE };
  const show = byId("verdict"), sort = byId("sort");
  addOption(show, "all", `all (${clips.length})`);
  for (const [verdict, [, words]] of Object.entries(VERDICTS)) {
    const count = clips.filter((clip) => clip.verdict === verdict).length;
    if (count) addOption(show, verdict, `${words} (${count})`);
  }
  const wrong = clips.filter(isWrong).length;
  if (wrong) addOption(show, "wrong", `differs from the label (${wrong})`);
  for (const [name, [words]] of Object.entries(SORTS)) {
    const known = name === "time" ? clips.every((clip) => clip.order !== null)
      : name === "label" ? clips.some((clip) => clip.label !== null) : true;
    if (known) addOption(sort, name, words);
  }
  const update = () => { list.upTo = SHOWN_AT_ONCE; chooseClips(list); };
  byId("find").addEventListener("input", update);
  show.addEventListener("change", update);
  sort.addEventListener("change", update);
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("more").addEventListener("click", () => {
    const first = list.upTo;
    list.upTo += SHOWN_AT_ONCE;
    showClips(list);
    list.element.children[first]?.querySelector("summary").focus();
  });
  byId("controls").hidden = clips.length < 2;
  chooseClips(list);
  openForPrint(list);
}

function addOption(select, value, words) {
  const option = make("option", "", words);
  option.value = value;
  select.append(option);
}

function chooseClips(list) {
  const words = byId("find").value.trim().toLowerCase();
  const verdict = byId("verdict").value;
  list.chosen = clips.filter((clip) => {
    const fits = verdict === "all" || (verdict === "wrong" ? isWrong(clip) : clip.verdict === verdict);
    return fits && (!words || [clip.name, ...clip.words, ...clip.remarks].join("\n").toLowerCase().includes(words));
  }).sort(SORTS[byId("sort").value][1]);
  showClips(list);
}

function showClips(list) {
  const visible = list.chosen.slice(0, list.upTo);
  list.element.replaceChildren(...visible.map((clip) => itemOf(list, clip)));
  const rest = list.chosen.length - visible.length;
  byId("more").hidden = rest === 0;
  byId("more").textContent = `Show ${Math.min(rest, SHOWN_AT_ONCE)} more of ${rest}`;
  byId("count").textContent = clips.length > 1 ? `${list.chosen.length} of ${clips.length} shown` : "";
}

function itemOf(list, clip) {
  let item = list.items.get(clip.place);
  if (!item) {
    item = make("li");
    const details = append(make("details", "clip card"), summaryOf(clip));
    details.addEventListener("toggle", () => { if (details.open) fill(details, clip); });
    list.items.set(clip.place, append(item, details));
  }
  return item;
}

function chipOf(clip) {
  const [mark, words] = VERDICTS[clip.verdict];
  const level = clip.level === "alarm" ? " · ALARM" : "";
  return make("span", `chip ${clip.verdict}`, `${mark} ${words}${level}`);
}

function summaryOf(clip) {
  const state = append(make("span", "state"), chipOf(clip));
  if (clip.label !== null) {
    state.append(make("span", "", `label: ${LABELS[clip.label]}${isWrong(clip) ? " ✗" : ""}`));
  }
  const first = clip.words[0] ?? clip.remarks[0];
  return append(
    make("summary"),
    make("span", "title", clip.name),
    state,
    make("span", "score", `score ${shown(clip.score)}`),
    first && !isPlain(clip) ? make("span", "first", first) : null,
  );
}

function openForPrint(list) {
  let opened = [];
  window.addEventListener("beforeprint", () => {
    const flagged = list.chosen.slice(0, list.upTo).filter((clip) => !isPlain(clip));
    opened = [];
    for (const clip of flagged) {
      const details = list.items.get(clip.place).firstChild;
      if (details.open) continue;
      fill(details, clip);
      details.open = true;
      opened.push(details);
    }
  });
  window.addEventListener("afterprint", () => { for (const details of opened) details.open = false; });
}
