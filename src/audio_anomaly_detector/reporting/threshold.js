// What another threshold would make of the scores.

// What a threshold makes of the scores; null where a figure is undefined.
function decide(threshold) {
  const counts = { tp: 0, fp: 0, tn: 0, fn: 0, above: 0 };
  for (const clip of clips) {
    const above = clip.score > threshold;
    counts.above += above;
    if (clip.label === 1) counts[above ? "tp" : "fn"] += 1;
    if (clip.label === 0) counts[above ? "fp" : "tn"] += 1;
  }
  const { tp, fp, tn, fn } = counts;
  const both = tp + fn > 0 && fp + tn > 0;
  return {
    ...counts,
    precision: both && tp + fp > 0 ? tp / (tp + fp) : null,
    recall: tp + fn > 0 ? tp / (tp + fn) : null,
    f1: both ? (2 * tp) / (2 * tp + fp + fn) : null,
  };
}

// Share of normal clips above a threshold: that of the last step that begins at or below it.
function expectedAbove(threshold) {
  const fitting = decision.steps.filter(([score]) => score === null || score <= threshold);
  const [, rate, low, high] = fitting[fitting.length - 1];
  return { rate, low, high };
}

function startThreshold() {
  const range = byId("threshold-range"), number = byId("threshold-number");
  const perDay = byId("per-day");
  const all = [...clips.map((clip) => clip.score), ...decision.normal_scores];
  if (decision.value !== null) all.push(decision.value);
  const lowest = all.reduce((a, b) => Math.min(a, b)), highest = all.reduce((a, b) => Math.max(a, b));
  const room = Math.max(0.02 * (highest - lowest), 0.01);
  const ends = [lowest - room, highest + room];
  [range.min, range.max] = ends;
  range.step = (ends[1] - ends[0]) / 500;
  perDay.value = decision.clips_per_day ?? 24;
  const strip = stripOf(ends);
  let threshold;
  function update(value) {
    threshold = value;
    range.value = Math.min(Math.max(value, ends[0]), ends[1]);
    strip(value);
    showWhatIf(threshold, Number(perDay.value) || 0);
  }
  function reset() {
    number.value = decision.value === null ? "" : Number(decision.value.toPrecision(5));
    update(decision.value ?? Infinity);
  }
  range.addEventListener("input", () => {
    const value = Number(range.value);
    number.value = Number(value.toPrecision(5));
    update(value);
  });
  number.addEventListener("input", () => { if (number.value !== "") update(Number(number.value)); });
  perDay.addEventListener("input", () => showWhatIf(threshold, Number(perDay.value) || 0));
  byId("threshold-reset").addEventListener("click", reset);
  reset();
}

// A number of false alarms; how much rarer than one in three years nobody can tell from normal clips.
function aDay(alarms) {
  return alarms > 0 && alarms < 0.001 ? "< 0.001" : shown(alarms, 2);
}

function showWhatIf(threshold, perDay) {
  const found = decide(threshold);
  const { rate, low, high } = expectedAbove(threshold);
  const figure = (id, value, words) => {
    const bold = make("b", "", value === null ? "–" : value);
    bold.id = id;
    return append(make("div", "card figure"), bold, make("span", "", words));
  };
  const ratio = (value) => (value === null ? null : value.toFixed(3));
  const figures = [figure("above", `${found.above} of ${clips.length}`, "recordings above the threshold")];
  if (clips.some((clip) => clip.label !== null)) {
    figures.push(
      figure("confusion", `${found.tp} / ${found.fn} / ${found.fp} / ${found.tn}`,
        "anomalies found / missed / false alarms / normal recordings passed"),
      figure("precision", ratio(found.precision), "precision"),
      figure("recall", ratio(found.recall), "recall"),
      figure("f1", ratio(found.f1), "F1"),
    );
  }
  figures.push(figure("alarms", aDay(rate * perDay),
    `false alarms a day to be expected [${aDay(low * perDay)}, ${aDay(high * perDay)}]`));
  byId("what-if").replaceChildren(...figures);
}

// Scores as dots on a line, left-out normal clips below; returns what moves the threshold.
function stripOf([low, high]) {
  const svg = (tag, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text) element.textContent = text;
    return element;
  };
  const width = byId("strip").clientWidth || 800;
  const x = (score) => 10 + ((width - 20) * (score - low)) / (high - low);
  const picture = svg("svg", { viewBox: `0 0 ${width} 150`, role: "img", "aria-label": "Scores of the recordings and of left-out normal recordings, with the threshold" });
  const rows = [["recordings", 48, clips.map((clip) => [clip.score, clip.label === null ? "unknown" : LABELS[clip.label]])],
    ["normal recordings that the detector was not fitted on", 118, decision.normal_scores.map((score) => [score, "normal"])]];
  for (const [title, y, dots] of rows) {
    picture.append(svg("text", { x: 10, y: y - 26 }, title));
    dots.slice(0, 3000).forEach(([score, kind], place) => picture.append(
      svg("circle", { class: `dot ${kind}`, cx: x(score).toFixed(1), cy: y + ((place * 7) % 25) - 12, r: kind === "anomalous" ? 6 : 4 })));
  }
  const line = svg("line", { class: "line", y1: 30, y2: 140 });
  picture.append(line);
  byId("strip").append(picture);
  return (value) => {
    const at = x(Math.min(Math.max(value, low), high));
    line.setAttribute("x1", at);
    line.setAttribute("x2", at);
  };
}

for (const element of document.querySelectorAll(".script-only")) element.hidden = false;
startList();
startThreshold();
