// Draws a table as a plot: <div class="plot" data-plot="ID of the table">. The table says it all and stays.
// Its first column holds the x of a row in data-x (epoch seconds, or a plain number with data-plain on the
// plot); a head cell of a column to draw has data-series="colour name" and data-kind="bars" or "line".
(() => {
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const number = (text) => Number(text.replace(/[^0-9.\-−]/g, "").replace("−", "-")) || 0;
  const short = (value) =>
    Math.abs(value) >= 1e6 ? `${+(value / 1e6).toFixed(1)}M` : Math.abs(value) >= 1e4 ? `${Math.round(value / 1e3)}k` : `${value}`;

  const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  function day(seconds) {
    const when = new Date(seconds * 1e3);
    const hour = when.getUTCHours();
    const clock = hour || when.getUTCMinutes() ? ` ${`${hour}`.padStart(2, "0")}:${`${when.getUTCMinutes()}`.padStart(2, "0")}` : "";
    return `${when.getUTCDate()} ${months[when.getUTCMonth()]}${clock}`;
  }

  function columns(table) {
    const heads = [...table.querySelectorAll("thead th")];
    const rows = [...table.querySelectorAll("tbody tr")];
    const series = heads
      .map((head, at) => ({ at, label: head.textContent.trim(), series: head.dataset.series, kind: head.dataset.kind }))
      .filter((one) => one.series);
    const x = rows.map((row) => Number(row.cells[0].dataset.x));
    const order = x.map((_, at) => at).sort((a, b) => x[a] - x[b]);
    return {
      series,
      data: [order.map((at) => x[at]), ...series.map((one) => order.map((at) => number(rows[at].cells[one.at].textContent)))],
    };
  }

  function draw(place) {
    const table = document.getElementById(place.dataset.plot);
    if (!table || !window.uPlot) return;
    const { series, data } = columns(table);
    if (data[0].length < 2) return;
    place.replaceChildren();
    const axis = { stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line"), width: 1 }, font: "12px system-ui, sans-serif" };
    const plain = "plain" in place.dataset;
    const options = {
      width: Math.max(place.clientWidth, 240),
      height: Number(place.dataset.height) || 240,
      tzDate: (seconds) => window.uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC"),
      cursor: { drag: { x: false, y: false }, points: { size: 7 } },
      legend: { live: true },
      scales: { x: { time: !plain }, y: { range: (_, low, high) => [Math.min(0, low), high <= 0 ? 1 : high * 1.08] } },
      axes: [{ ...axis, space: 96, ...(plain ? {} : { values: (_, ticks) => ticks.map(day) }) }, { ...axis, size: 52, values: (_, ticks) => ticks.map(short), incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6] }],
      series: [
        { label: plain ? "At" : "Day", value: (_, x) => (x == null ? "" : plain ? `${x}` : day(x)) },
        ...series.map((one) => {
          const ink = colour(one.series);
          const look = { label: one.label, stroke: ink, width: 2, points: { show: false }, value: (_, y) => (y == null ? "" : y.toLocaleString("en")) };
          if (one.kind !== "bars") return look;
          return { ...look, width: 0, fill: ink, paths: window.uPlot.paths.bars({ size: [0.6, 28], radius: 0.15 }) };
        }),
      ],
    };
    place.plot?.destroy();
    place.plot = new window.uPlot(options, data, place);
  }

  const all = () => document.querySelectorAll("[data-plot]").forEach(draw);
  all();
  dark.addEventListener("change", all);
  calm.addEventListener("change", all);
  let waiting = 0;
  window.addEventListener("resize", () => {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(all, 120);
  });
  // What htmx has put into the page may hold a plot of its own.
  document.addEventListener("htmx:afterSettle", all);
})();
