// One recording, opened: words, picture with maps, sounds, shares.

function fill(details, clip) {
  if (details.childElementCount > 1) return;
  const inside = make("div", "inside");
  const stored = byId(`media-${clip.place}`);
  if (clip.words.length) {
    inside.append(section("What is unusual", listOf("ol", clip.words)));
  }
  if (clip.remarks.length) inside.append(section("About the recording itself", listOf("ul", clip.remarks)));
  if (stored) inside.append(mediaOf(clip, JSON.parse(stored.textContent)));
  const columns = make("div", "columns");
  if (clip.shares.length) columns.append(section("What makes up the score", sharesOf(clip)));
  columns.append(section("Figures", figuresOf(clip)));
  append(inside, columns);
  if (clip.notes.length) inside.append(listOf("ul", clip.notes));
  details.append(inside);
}

function section(title, ...content) {
  return append(make("div"), make("h3", "", title), ...content);
}

function listOf(tag, lines) {
  return append(make(tag), ...lines.map((line) => make("li", "", line)));
}

function figuresOf(clip) {
  const threshold = clip.threshold === null ? "infinite" : shown(clip.threshold);
  const lines = [`score ${shown(clip.score)}, threshold ${threshold}`];
  if (clip.p) lines.push(`p-value ${clip.p}: share of normal recordings expected to score as high`);
  if (clip.components.length) {
    const top = clip.components.map(([name, z]) => `${name} ${z.toFixed(1)}`).join(" · ");
    lines.push(`highest components, in standard deviations of normal recordings: ${top}`);
  }
  if (clip.nearest.length) lines.push(`most similar normal recordings: ${clip.nearest.join(" · ")}`);
  return listOf("ul", lines);
}

function sharesOf(clip) {
  const largest = Math.max(...clip.shares.map(([, value]) => Math.abs(value)), 1e-9);
  const least = Math.min(0, ...clip.shares.map(([, value]) => value)) / largest;
  const zero = -least / (1 - least);
  const table = make("table", "shares");
  for (const [family, value] of clip.shares) {
    const bar = make("i", value < 0 ? "less" : "");
    const part = Math.abs(value) / largest / (1 - least);
    bar.style.left = `${100 * (value < 0 ? zero - part : zero)}%`;
    bar.style.width = `${100 * part}%`;
    table.append(shareRow(family, value, append(make("div", "bar"), bar)));
  }
  const sum = clip.shares.reduce((total, [, value]) => total + value, 0);
  const total = shareRow("sum = score", sum);
  total.className = "total";
  table.append(total);
  return table;
}

function shareRow(title, value, bar) {
  const head = make("th", "", title);
  head.scope = "row";
  return append(make("tr"), head, make("td", "number", signed(value)), append(make("td"), bar));
}

function signed(value) {
  return value.toFixed(2).replace(/^-0\.00$/, "0.00").replace("-", "−");
}

// ---- Picture and sound ----

function mediaOf(clip, media) {
  const screen = make("div", "screen");
  const picture = make("img");
  picture.src = media.spectrogram;
  picture.alt = `Spectrogram of ${clip.name} from ${shown(media.seconds[0])} to ${shown(media.seconds[1])} s`;
  const overlay = make("img");
  overlay.alt = "";
  const cursor = make("div", "cursor");
  cursor.hidden = true;
  append(screen, picture, overlay, ...marksOf(clip, media), cursor);
  const plot = append(make("div", "plot"), frequencyAxis(media.hz), screen, timeAxis(media.seconds));
  const sounds = soundsOf(media, screen, cursor);
  return section("Spectrogram", layersOf(clip, media, overlay), plot, legendOf(), sounds);
}

function layersOf(clip, media, overlay) {
  const sets = make("div");
  const ofSignal = [["narrow", "unusual tones"], ["fast", "unusual impacts"], ["", "nothing"]];
  sets.append(choiceOf("Over the spectrogram", ofSignal));
  const sources = ["all", "signal", "masked prediction", "wavelet bands", "codes"].filter((name) => name in media.maps);
  if (sources.length) {
    const shares = new Map(clip.sources);
    if (shares.size) shares.set("all", clip.sources.reduce((total, [, value]) => total + value, 0));
    const bySource = sources.map((name) => [name, shares.has(name) ? `${name} ${signed(shares.get(name))}` : name]);
    sets.append(
      choiceOf(shares.size ? "or by source, with what it adds to the score" : "or by source", bySource),
      make("p", "small", "All: mean of the sources, weighted by what they add. Masked prediction and codes: how much louder or quieter than these networks expect, compared with normal recordings."),
    );
  }
  // All are one choice: the arrow keys go from one row to the next.
  function choiceOf(title, layers) {
    const set = append(make("fieldset", "layers"), make("legend", "", title));
    for (const [name, words] of layers) {
      const radio = make("input");
      radio.type = "radio";
      radio.name = `layer-${clip.place}`;
      radio.value = name || "none";
      radio.addEventListener("change", () => choose(name));
      radio.checked = name === clip.map;
      set.append(append(make("label"), radio, make("span", "", words)));
    }
    return set;
  }
  function choose(name) {
    overlay.hidden = !name;
    if (name) overlay.src = media.maps[name];
  }
  choose(clip.map);
  return sets;
}

function heightOf(hz, [low, high]) {
  return Math.min(1, Math.max(0, Math.log(hz / low) / Math.log(high / low)));
}

// Where the findings lie, numbered as the sentences are.
function marksOf(clip, media) {
  const [start, end] = media.seconds;
  return clip.marks.map(({ hz, time }, number) => {
    if (!hz && !time) return null;
    const mark = make("div", "mark");
    const [low, high] = hz ?? media.hz;
    const [from, to] = time ?? media.seconds;
    const bottom = heightOf(low, media.hz), top = heightOf(high, media.hz);
    mark.style.left = `${(100 * (from - start)) / (end - start)}%`;
    mark.style.width = `${(100 * (to - from)) / (end - start)}%`;
    mark.style.bottom = `${100 * bottom}%`;
    mark.style.height = `${100 * (top - bottom)}%`;
    const badge = make("b", "", String(number + 1));
    badge.style.left = `${2 + 20 * number}px`; // side by side where several begin at one place
    return append(mark, badge);
  });
}

function frequencyAxis([low, high]) {
  const axis = make("div", "axis y");
  for (const hz of [50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000]) {
    if (hz < low || hz > 0.9 * high) continue;
    const tick = make("span", "", hz < 1000 ? String(hz) : `${hz / 1000}k`);
    tick.style.top = `${100 * (1 - heightOf(hz, [low, high]))}%`;
    axis.append(tick);
  }
  const unit = make("span", "", "Hz");
  unit.style.top = "97%";
  return append(axis, unit);
}

function timeAxis([start, end]) {
  const axis = make("div", "axis x");
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60].find((each) => (end - start) / each <= 6) ?? 120;
  for (let at = Math.ceil(start / step) * step; at < end - 0.06 * (end - start); at += step) {
    const tick = make("span", "", String(Number(at.toFixed(1))));
    tick.style.left = `${(100 * (at - start)) / (end - start)}%`;
    axis.append(tick);
  }
  const unit = make("span", "", "s");
  unit.style.left = "99%";
  return append(axis, unit);
}

function legendOf() {
  const entry = (kind, words) => append(make("span"), make("i", kind), words);
  return append(
    make("div", "legend"),
    entry("grey", "quiet to loud, 50 dB"),
    entry("scale", "quieter – as usual – louder than normal recordings (±12 standard deviations)"),
  );
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

function soundsOf(media, screen, cursor) {
  const [start, end] = media.seconds;
  const box = make("div", "sounds");
  const players = media.sounds.map((sound) => {
    const player = make("audio");
    player.controls = true;
    player.preload = "metadata";
    player.src = URL.createObjectURL(new Blob([bytesOf(sound.mp3)], { type: "audio/mpeg" }));
    player.setAttribute("aria-label", sound.title);
    player.addEventListener("play", () => {
      for (const other of document.querySelectorAll("audio")) if (other !== player) other.pause();
      follow(player);
    });
    player.addEventListener("seeking", () => move(player));
    box.append(append(make("div"), make("p", "", `${sound.title} (${sound.note.replace("-", "−")})`), player));
    return player;
  });
  const hint = make("p", "small hint", "Equally loud, by the gain stated; the mean of all microphones. A click on the picture goes to that moment.");
  const onPicture = players.filter((_, place) => media.sounds[place].on_picture);
  function move(player) {
    if (!onPicture.includes(player)) return;
    cursor.hidden = false;
    cursor.style.left = `${Math.min(100, (100 * player.currentTime) / (end - start))}%`;
  }
  function follow(player) {
    move(player);
    if (!player.paused) requestAnimationFrame(() => follow(player));
  }
  screen.addEventListener("click", (event) => {
    const bounds = screen.getBoundingClientRect();
    const at = ((event.clientX - bounds.left) / bounds.width) * (end - start);
    for (const player of onPicture) player.currentTime = at;
  });
  return append(make("div"), box, hint);
}
