"use strict";
// One page, no library: charts as SVG, one cursor over all of them. The data is JSON in the page.
const data = JSON.parse(document.getElementById("data").textContent);
const charts = [
    { title: "Load and capacity", unit: "requests/s", load: "load",
      lines: [{ key: "capacity" }] },
    { title: "Instances", unit: "", marks: true,
      lines: [{ key: "ready" }, { key: "desired", style: "dashed" },
              { key: "starting", style: "dotted" }] },
    { title: "In flight and queued", unit: "requests",
      lines: [{ key: "in_flight" }, { key: "queued", style: "dashed" }] },
    { title: "Latency, 99th percentile", unit: "s", limit: data.latency_limit_s,
      lines: [{ key: "latency_p99_s" }] },
    { title: data.cost > 0 ? "Cost so far" : "Instance-hours so far", unit: "",
      lines: [{ key: data.cost > 0 ? "cost" : "hours" }] },
];
const HEIGHT = 170, LEFT = 56, RIGHT = 8, TOP = 8, BOTTOM = 22;
const SVG = "http://www.w3.org/2000/svg";
const COLOURS = 6, MARKS_APART = 6, ROWS_MAX = 2000;
const view = { from: 0, to: data.seconds, width: 800, at: null };
const shown = data.runs.map((run, n) => n < 3);
const colour = n => `var(--c${n % COLOURS})`;

for (const run of data.runs) {
    run.points.hours = run.points.paid_s.map(s => s / 3600);
    run.points.cost = run.points.hours.map(h => h * data.cost);
}

// -- little helpers ------------------------------------------------------------------------------

function element(parent, name, text, properties = {}) {
    const e = document.createElement(name);
    if (text !== undefined)
        e.textContent = text;
    Object.assign(e, properties);
    parent.append(e);
    return e;
}

function shape(parent, name, attributes, text) {
    const e = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes))
        e.setAttribute(key, value);
    if (text !== undefined)
        e.textContent = text;
    parent.append(e);
    return e;
}

function number(x) {
    if (x === null || x === undefined)
        return "–";
    const size = Math.abs(x);
    if (size >= 100 || Number.isInteger(x))
        return Math.round(x).toLocaleString("en");
    return Number(x.toPrecision(3)).toString();
}

function time(seconds) {
    if (data.start_wall_s > 0) {
        const text = new Date((data.start_wall_s + seconds) * 1000).toISOString();
        return text.slice(0, 19).replace("T", " ");
    }
    const days = Math.floor(seconds / 86400);
    const clock = new Date((seconds - days * 86400) * 1000).toISOString().slice(11, 19);
    return (days > 0 ? `${days}d ` : "") + clock;
}

// The first index whose value is above x, in a list that grows.
function above(list, x) {
    let low = 0, high = list.length;
    while (low < high) {
        const middle = (low + high) >> 1;
        if (list[middle] > x)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

function nice_step(span, count, steps) {
    const wanted = span / count;
    for (const step of steps)
        if (step >= wanted)
            return step;
    return Math.ceil(wanted / 86400) * 86400;
}

// -- the score -----------------------------------------------------------------------------------

const percent = x => `${Number((100 * x).toPrecision(3))} %`;
const columns = [
    ["violations", "violations", percent, "share of requests over the SLO or refused"],
    ["refused", "refused", number, "requests"],
    ["instance_hours", "hours", number, "instance-hours, from order to stop"],
    ["cost", "cost", number, "instance-hours times their price"],
    ["co2_g", "CO₂ (g)", number, "grams, from watts and the grid's grams per kWh"],
    ["moves", "moves", number, "changes of the desired count"],
    ["mean_utilisation", "used", percent, "of the ready instances' capacity"],
    ["latency_p50_s", "p50 (s)", number, "latency that half of the requests are below"],
    ["latency_p95_s", "p95 (s)", number, "latency that 95 % of the requests are below"],
    ["latency_p99_s", "p99 (s)", number, "latency that 99 % of the requests are below"],
    ["theta_u", "θU %", number, "instances missing, in relation to demand"],
    ["theta_o", "θO %", number, "instances too many, in relation to demand"],
    ["tau_u", "τU %", number, "share of time with too few"],
    ["tau_o", "τO %", number, "share of time with too many"],
    ["upsilon", "υ %", number, "instability: supply and demand move apart"],
];

function draw_score() {
    const table = document.getElementById("score");
    const used = columns.filter(
        ([key]) => key === "violations" || data.runs.some(run => run.score[key]));
    const head = element(element(table, "thead"), "tr");
    element(head, "th", "policy", { scope: "col" });
    for (const [, name, , help] of used)
        element(head, "th", name, { scope: "col", title: help });
    const body = element(table, "tbody");
    for (const run of data.runs) {
        const row = element(body, "tr");
        element(row, "th", run.name, { scope: "row", title: run.help });
        for (const [key, , format] of used)
            element(row, "td", format(run.score[key]));
    }
    document.getElementById("definitions").textContent = data.definitions;
    document.getElementById("about").textContent = data.about;
}

// -- charts --------------------------------------------------------------------------------------

const x_of = t => LEFT + (t - view.from) / (view.to - view.from) * (view.width - LEFT - RIGHT);
const t_of = x => view.from + (x - LEFT) / (view.width - LEFT - RIGHT) * (view.to - view.from);

function most(chart) {
    let top = 0;
    const look = (times, values) => {
        const end = Math.min(above(times, view.to) + 1, values.length);
        for (let n = Math.max(above(times, view.from) - 1, 0); n < end; n++)
            top = Math.max(top, values[n]);
    };
    data.runs.forEach((run, n) => {
        if (chart.load && n === 0)
            look(run.points.t, run.points[chart.load]);
        if (shown[n])
            for (const line of chart.lines)
                look(run.points.t, run.points[line.key]);
    });
    return top || 1;
}

function path(times, values, y_of) {
    const first = Math.max(above(times, view.from) - 1, 0);
    const last = Math.min(above(times, view.to) + 1, times.length);
    let text = "";
    for (let n = first; n < last; n++)
        text += `${text && "L"}${x_of(times[n]).toFixed(1)} ${y_of(values[n]).toFixed(1)}`;
    text = `M${text}`;
    return { text, from: x_of(times[first] ?? 0), to: x_of(times[last - 1] ?? 0) };
}

function draw_axes(chart, svg, top, y_of) {
    const raw = 10 ** Math.floor(Math.log10(top / 4));
    const step = [1, 2, 5, 10].map(f => f * raw).find(s => top / s <= 4.5);
    for (let y = 0; y <= top; y += step) {
        shape(svg, "path", { class: "grid", d: `M${LEFT} ${y_of(y)}H${view.width - RIGHT}` });
        shape(svg, "text", { x: LEFT - 6, y: y_of(y) + 4, "text-anchor": "end" },
              y >= 1e4 ? `${number(y / 1000)}k` : number(Number(y.toPrecision(6))));
    }
    const span = view.to - view.from;
    const tick = nice_step(span, view.width / 130, [1, 5, 15, 60, 300, 900, 1800, 3600, 10800,
                                                    21600, 43200, 86400]);
    const offset = data.start_wall_s > 0 ? data.start_wall_s % 86400 : 0;
    const begin = Math.ceil((view.from + offset) / tick) * tick - offset;
    for (let t = begin; t <= view.to && x_of(t) < view.width - 24; t += tick) {
        const text = time(t);
        const label = tick < 86400 ? text.slice(-8, tick < 60 ? undefined : -3)
                                   : data.start_wall_s > 0 ? text.slice(5, 10) : text.split(" ")[0];
        shape(svg, "text", { x: x_of(t), y: HEIGHT - 6, "text-anchor": "middle" }, label);
    }
}

function draw_marks(svg, run, n, y_of) {
    const first = above(run.decisions.t, view.from), last = above(run.decisions.t, view.to);
    const crowded = (last - first) * MARKS_APART > view.width;
    let d = "";
    for (let k = first; k < last; k++)
        d += `M${x_of(run.decisions.t[k]).toFixed(1)} ${y_of(run.decisions.after[k]).toFixed(1)}h0`;
    shape(svg, "path", { class: crowded ? "marks crowded" : "marks", stroke: colour(n), d });
}

function draw_chart(chart) {
    const svg = chart.svg;
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${view.width} ${HEIGHT}`);
    const top = most(chart) * 1.05;
    const y_of = v => HEIGHT - BOTTOM - (v ?? 0) / top * (HEIGHT - TOP - BOTTOM);
    draw_axes(chart, svg, top, y_of);
    const inside = shape(svg, "svg", { x: 0, y: 0, width: view.width, height: HEIGHT });
    inside.style.background = "none";
    const clip = shape(shape(inside, "clipPath", { id: `clip-${chart.id}` }), "rect",
                       { x: LEFT, y: 0, width: view.width - LEFT - RIGHT, height: HEIGHT });
    const plot = shape(inside, "g", { "clip-path": `url(#${clip.parentNode.id})` });
    if (chart.load) {
        const p = path(data.runs[0].points.t, data.runs[0].points[chart.load], y_of);
        shape(plot, "path", { class: "load",
                              d: `${p.text}L${p.to} ${y_of(0)}L${p.from} ${y_of(0)}Z` });
    }
    if (chart.limit && chart.limit < top)
        shape(plot, "path", { class: "limit", d: `M${LEFT} ${y_of(chart.limit)}H${view.width}` });
    data.runs.forEach((run, n) => {
        if (!shown[n])
            return;
        for (const line of chart.lines)
            shape(plot, "path", { class: `run ${line.style ?? ""}`, stroke: colour(n),
                                  d: path(run.points.t, run.points[line.key], y_of).text });
        if (chart.marks)
            draw_marks(plot, run, n, y_of);
    });
    chart.cursor = shape(svg, "path", { class: "cursor" });
}

function draw() {
    view.width = Math.max(document.getElementById("charts").clientWidth, 320);
    charts.forEach(draw_chart);
    move_cursor();
}

// -- the cursor ----------------------------------------------------------------------------------

function latest_decision(run, at) {
    const slack = 4 * (view.to - view.from) / view.width; // a mark is as wide as a finger is not
    const k = above(run.decisions.t, at + slack) - 1;
    return k < 0 ? null : k;
}

// The counts stand before it already.
const reason = (d, k) => d.why[k].replace(/^\d+ -> \d+: /, "");

function fill_readout(box) {
    box.replaceChildren();
    element(box, "strong", time(view.at));
    data.runs.forEach((run, n) => {
        if (!shown[n])
            return;
        const p = run.points, i = Math.min(above(p.t, view.at), p.t.length - 1);
        const line = element(box, "p");
        element(line, "span", "", { className: "swatch" }).style.background = colour(n);
        line.append(` ${run.name}: ${number(p.load[i])} requests/s on ${number(p.ready[i])} ready`,
                    ` (${number(p.desired[i])} wanted, ${number(p.starting[i])} starting), `,
                    `${number(p.in_flight[i])} in flight, ${number(p.queued[i])} queued, `,
                    `p99 ${number(p.latency_p99_s[i])} s, ${number(p.hours[i])} h`);
        const k = latest_decision(run, view.at), d = run.decisions;
        if (k !== null)
            element(box, "p", `${time(d.t[k])}  ${d.before[k]} → ${d.after[k]}: ${reason(d, k)}`,
                    { className: "why" });
    });
}

function move_cursor(x, y) {
    const box = document.getElementById("readout");
    const hidden = view.at === null || view.at < view.from || view.at > view.to;
    box.hidden = hidden;
    for (const chart of charts) {
        chart.cursor.style.visibility = hidden ? "hidden" : "visible";
        if (!hidden)
            chart.cursor.setAttribute("d", `M${x_of(view.at)} ${TOP}V${HEIGHT - BOTTOM}`);
    }
    if (hidden)
        return;
    fill_readout(box);
    const left = Math.min((x ?? x_of(view.at)) + 16, innerWidth - box.offsetWidth - 8);
    const top = Math.min((y ?? 80) + 16, innerHeight - box.offsetHeight - 8);
    box.style.left = `${Math.max(left, 8)}px`;
    box.style.top = `${Math.max(top, 8)}px`;
}

function zoom(from, to) {
    const least = Math.min(10, data.seconds);
    const middle = (from + to) / 2, half = Math.max(to - from, least) / 2;
    view.from = Math.max(middle - half, 0);
    view.to = Math.min(middle + half, data.seconds);
    draw();
}

function step_decision(forward) {
    let best = null;
    data.runs.forEach((run, n) => {
        const at = view.at ?? (forward ? -1 : data.seconds);
        const t = run.decisions.t;
        let k = above(t, at);
        if (!forward)
            for (k--; k >= 0 && t[k] >= at; k--)
                continue;
        if (shown[n] && k >= 0 && k < t.length &&
            (best === null || (forward ? t[k] < best : t[k] > best)))
            best = t[k];
    });
    return best ?? view.at;
}

function on_key(event) {
    const step = (view.to - view.from) / 200 * (event.shiftKey ? 10 : 1);
    const at = view.at ?? view.from, span = view.to - view.from;
    const keys = {
        ArrowLeft: () => { view.at = Math.max(at - step, view.from); },
        ArrowRight: () => { view.at = Math.min(at + step, view.to); },
        Home: () => { view.at = view.from; },
        End: () => { view.at = view.to; },
        n: () => { view.at = step_decision(true); },
        p: () => { view.at = step_decision(false); },
        "+": () => zoom(at - span / 4, at + span / 4),
        "-": () => zoom(at - span, at + span),
        Escape: () => { view.at = null; zoom(0, data.seconds); },
    };
    const action = keys[event.key] ?? keys[event.key.toLowerCase()];
    if (!action || event.ctrlKey || event.metaKey || event.altKey)
        return;
    event.preventDefault();
    action();
    const place = event.currentTarget.getBoundingClientRect();
    move_cursor(place.left + (view.at === null ? 0 : x_of(view.at)), place.top);
}

function watch_pointer(svg) {
    let start = null, range = null;
    const t_under = event => t_of(event.clientX - svg.getBoundingClientRect().left);
    svg.addEventListener("pointerdown", event => { start = event.clientX; });
    svg.addEventListener("pointermove", event => {
        view.at = Math.min(Math.max(t_under(event), view.from), view.to);
        move_cursor(event.clientX, event.clientY);
        range?.remove();
        if (start === null || Math.abs(event.clientX - start) < 5)
            return;
        const left = svg.getBoundingClientRect().left;
        range = shape(svg, "rect", { class: "range", y: TOP, height: HEIGHT - TOP - BOTTOM,
                                     x: Math.min(start, event.clientX) - left,
                                     width: Math.abs(event.clientX - start) });
    });
    svg.addEventListener("pointerup", event => {
        if (start !== null && Math.abs(event.clientX - start) >= 5) {
            const a = t_of(start - svg.getBoundingClientRect().left), b = t_under(event);
            zoom(Math.max(Math.min(a, b), view.from), Math.min(Math.max(a, b), view.to));
        }
        start = null;
    });
    svg.addEventListener("pointerleave", () => {
        start = null;
        range?.remove();
        view.at = null;
        move_cursor();
    });
    svg.addEventListener("dblclick", () => zoom(0, data.seconds));
}

// -- candidates of a search ----------------------------------------------------------------------

const LEAST = 1e-6; // violations below this stand on the ground line

function draw_dots() {
    const section = document.getElementById("search");
    section.hidden = data.dots.length === 0;
    if (section.hidden)
        return;
    const svg = document.getElementById("dots"), width = 800, height = 300;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const hours = data.dots.map(dot => dot.hours);
    const low = Math.min(...hours), span = Math.max(...hours) - low || 1;
    const left = LEFT + 20;
    const depth = v => Math.log10(Math.max(v, LEAST)) / Math.log10(LEAST);
    const x_dot = h => left + 10 + (h - low) / span * (width - left - RIGHT - 60);
    const y_dot = v => TOP + depth(v) * (height - TOP - BOTTOM);
    for (let v = 1; v >= LEAST / 2; v /= 10) {
        shape(svg, "path", { class: "grid", d: `M${left} ${y_dot(v)}H${width - RIGHT}` });
        shape(svg, "text", { x: left - 6, y: y_dot(v) + 4, "text-anchor": "end" }, percent(v));
    }
    for (let n = 0; n <= 4; n++)
        shape(svg, "text", { x: x_dot(low + span * n / 4), y: height - 6 },
              `${number(low + span * n / 4)} h`);
    for (const dot of [...data.dots].sort((a, b) => a.front - b.front)) {
        const circle = shape(svg, "circle", { cx: x_dot(dot.hours), cy: y_dot(dot.violations),
                                              r: dot.front ? 5 : 3,
                                              class: dot.front ? "dot front" : "dot" });
        shape(circle, "title", {}, `${dot.label}: ${percent(dot.violations)} of the requests ` +
                                   `violate, ${number(dot.hours)} instance-hours`);
    }
}

// -- the page ------------------------------------------------------------------------------------

function make_charts() {
    const parent = document.getElementById("charts");
    charts.forEach((chart, n) => {
        const names = chart.lines.map(line => {
            const look = { dashed: "dashed ", dotted: "dotted " }[line.style] ?? "";
            return `${look}${line.key.replace("_", " ")}`;
        });
        chart.id = n;
        element(parent, "h3", chart.title + (chart.unit ? ` (${chart.unit})` : ""));
        chart.svg = shape(parent, "svg", { height: HEIGHT, tabindex: 0, role: "img",
                                           "aria-label": `${chart.title}: ${names.join(", ")}` });
        chart.svg.addEventListener("keydown", on_key);
        watch_pointer(chart.svg);
    });
}

function make_switches() {
    const parent = document.getElementById("policies");
    data.runs.forEach((run, n) => {
        const label = element(parent, "label", undefined, { title: run.help });
        const box = element(label, "input", undefined, { type: "checkbox", checked: shown[n] });
        element(label, "span", "", { className: "swatch" }).style.background = colour(n);
        label.append(` ${run.name}`);
        box.addEventListener("change", () => {
            shown[n] = box.checked;
            draw();
        });
    });
}

function fill_decisions(parent, run) {
    const d = run.decisions;
    const table = element(element(parent, "div", undefined, { className: "scroll" }), "table");
    const head = element(element(table, "thead"), "tr");
    for (const name of ["time", "from", "to", "why"])
        element(head, "th", name, { scope: "col", className: name === "why" ? "text" : "" });
    const body = element(table, "tbody");
    for (let k = 0; k < Math.min(d.t.length, ROWS_MAX); k++) {
        const row = element(body, "tr");
        element(row, "td", time(d.t[k]));
        element(row, "td", d.before[k]);
        element(row, "td", d.after[k]);
        element(row, "td", reason(d, k), { className: "text" });
    }
    const rows = Math.min(d.t.length, ROWS_MAX);
    if (run.decision_count > rows)
        element(parent, "p", `The first ${rows} of ${run.decision_count}.`);
}

function make_decisions() {
    const parent = document.getElementById("decisions");
    for (const run of data.runs) {
        const details = element(parent, "details");
        element(details, "summary", `${run.name}: ${run.decision_count}`);
        details.addEventListener("toggle", () => fill_decisions(details, run), { once: true });
    }
}

draw_score();
draw_dots();
make_charts();
make_switches();
make_decisions();
draw();
addEventListener("resize", draw);
