// Draws the tables of the page Pictures: the first column is the time, each other one a line. The tables stay.

"use strict";

const COLOURS = {
  light: ["#0b5f8a", "#a11a2b", "#1c6330", "#7a4b00", "#5b3aa0", "#535c6b"],
  dark: ["#7cc4ec", "#ff9aa6", "#8fd6a1", "#f0bd6a", "#c3aef5", "#a9b4c4"],
};
const dark = matchMedia("(prefers-color-scheme: dark)");
const HEIGHT = 220;

function columns(table) {
  const rows = [...table.tBodies[0].rows].map((row) =>
    [...row.cells].map((cell) => (cell.dataset.value === undefined ? null : Number(cell.dataset.value))),
  );
  return [...table.tHead.rows[0].cells].map((_, column) => rows.map((row) => row[column]));
}

// Least step in seconds, how it is written, and what is added where a day begins: as everywhere else on these pages.
const TIMES = [
  [86_400, "{D} {MMM}", null, null, null, null, null, null, 1],
  [60, "{HH}:{mm}", null, null, "\n{D} {MMM}", null, null, null, 1],
];

function draw(place) {
  const table = document.getElementById(place.dataset.table);
  const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const unit = place.dataset.unit;
  const colours = COLOURS[dark.matches ? "dark" : "light"];
  const grid = { stroke: dark.matches ? "#333d4d" : "#d4d9e1", width: 1 };
  const axis = { stroke: dark.matches ? "#a9b4c4" : "#535c6b", grid, ticks: grid };
  const lines = names.slice(1).map((label, n) => ({
    label,
    stroke: colours[n % colours.length],
    width: 2,
    dash: n < colours.length ? undefined : [6, 4],
    value: (_, value) => (value === null ? "–" : `${value.toLocaleString("en")}${unit && " " + unit}`),
  }));
  const width = place.parentElement.clientWidth;
  const scales = { y: { range: (_, low, high) => [0, high > 0 ? high * 1.05 : 1] } };
  const axes = [{ ...axis, values: TIMES }, { ...axis, size: 60, values: (_, ticks) => ticks.map((tick) => tick.toLocaleString("en")) }];
  place.replaceChildren();
  place.hidden = false;
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", `${names.slice(1).join(", ")}, drawn; the figures are in the table that follows.`);
  const drawn = new uPlot({ width, height: HEIGHT, series: [{ value: "{D} {MMM} {YYYY}, {HH}:{mm}" }, ...lines], axes, scales }, columns(table), place);
  place.dataset.drawn = "";
  return drawn;
}

const places = [...document.querySelectorAll("[data-table]")];
let drawn = places.map(draw);
dark.addEventListener("change", () => {
  for (const one of drawn) one.destroy();
  drawn = places.map(draw);
});
addEventListener("resize", () => {
  for (const [n, one] of drawn.entries()) one.setSize({ width: places[n].parentElement.clientWidth, height: HEIGHT });
});
