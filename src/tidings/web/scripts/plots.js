// Draws each table that a plot names: its first column is the time (data-at, seconds), the others are
// series in the colours of the page. The table stays, for who reads numbers or hears them.

for (const place of document.querySelectorAll("[data-plot]")) {
  const table = document.getElementById(place.dataset.plot);
  if (table && window.uPlot) draw(place, table);
}

function draw(place, table) {
  const heads = [...table.tHead.rows[0].cells].slice(1);
  const rows = [...table.tBodies[0].rows];
  const numbers = rows.map((row) => [
    Number(row.cells[0].dataset.at),
    ...[...row.cells].slice(1).map((cell) => Number(cell.textContent.replaceAll(",", ""))),
  ]);
  const data = [0, ...heads.map((_, at) => at + 1)].map((at) => numbers.map((row) => row[at]));
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const zone = document.body.dataset.zone;
  let plot = null;

  const build = () => {
    plot?.destroy();
    const axis = { stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false } };
    plot = new window.uPlot(
      {
        width: place.clientWidth || 600,
        height: 220,
        cursor: { drag: { x: false, y: false } },
        legend: { live: true },
        scales: { x: { time: true }, y: { range: (_, __, most) => [0, Math.max(most, 4)] } },
        tzDate: zone && window.uPlot.tzDate ? (at) => window.uPlot.tzDate(new Date(at * 1000), zone) : undefined,
        axes: [axis, { ...axis, size: 44 }],
        series: [
          { label: table.tHead.rows[0].cells[0].textContent },
          ...heads.map((head) => ({
            label: head.textContent,
            stroke: colour(head.dataset.series ?? "cool"),
            width: 2,
            points: { show: rows.length < 40 },
          })),
        ],
      },
      data,
      place,
    );
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", `${heads.map((head) => head.textContent).join(", ")}: the table below has the numbers`);
  };

  build();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", build);
  new ResizeObserver(() => plot.setSize({ width: place.clientWidth, height: 220 })).observe(place);
}
