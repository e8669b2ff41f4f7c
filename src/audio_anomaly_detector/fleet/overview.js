"use strict";
(() => {
  const table = document.getElementById("machines");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => ({
    row,
    text: row.textContent.toLowerCase(),
    flagged: row.dataset.k === "0",
    failed: row.dataset.k === "1",
  }));
  const search = document.getElementById("search");
  const kind = document.getElementById("kind");
  const count = document.getElementById("count");
  const buttons = table.tHead.querySelectorAll("button");
  document.getElementById("controls").hidden = false;

  // "5 of 12" sorts by its share, "–" and text without a figure come last.
  const figure = (text) => {
    const share = text.match(/^\s*(\d+) of (\d+)/);
    return share ? share[1] / share[2] : parseFloat(text);
  };

  const show = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const each of rows) {
      const fits = kind.value === "all" || each[kind.value];
      each.row.hidden = !(fits && words.every((word) => each.text.includes(word)));
      shown += !each.row.hidden;
    }
    count.textContent = `${shown} of ${rows.length} shown`;
  };

  const sort = (button) => {
    const head = button.closest("th");
    const isText = head.dataset.sort === "text";
    const before = head.getAttribute("aria-sort");
    const first = head.dataset.first || "descending";
    const other = first === "ascending" ? "descending" : "ascending";
    const direction = before === first ? other : first;
    for (const each of buttons) each.closest("th").removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    const keyed = rows.map((each) => {
      const text = each.row.cells[head.cellIndex]?.textContent ?? ""; // the failed have no figures
      return { row: each.row, value: isText ? text.trim() : figure(text) };
    });
    const compare = new Intl.Collator(undefined, { numeric: true }).compare;
    keyed.sort((a, b) => {
      if (isText) return sign * compare(a.value, b.value);
      if (isNaN(a.value) || isNaN(b.value)) return isNaN(a.value) - isNaN(b.value);
      return sign * (a.value - b.value);
    });
    body.append(...keyed.map((each) => each.row));
  };

  for (const button of buttons) button.addEventListener("click", () => sort(button));
  search.addEventListener("input", show);
  kind.addEventListener("change", show);
  show();
})();
