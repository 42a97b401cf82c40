"""The chart of a demo run: three panels over one time axis, as one SVG that needs nothing else."""

WIDTH, PANEL, GAP, LEFT, RIGHT, TOP = 960, 150, 46, 64, 30, 62
PLOT = WIDTH - LEFT - RIGHT
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #444 }
.title { font-size: 17px; fill: #111 }
.grid { stroke: #e4e4e4 } .axis { stroke: #999 }
.load { fill: none; stroke: #1f5fa8; stroke-width: 2 }
.flight { fill: #d9822b33; stroke: #d9822b; stroke-width: 1.5 }
.queued { fill: #b8322b66; stroke: none }
.ready { fill: #2e7d4f33; stroke: #2e7d4f; stroke-width: 2 }
.desired { fill: none; stroke: #111; stroke-width: 1; stroke-dasharray: 4 3 }
.fixed { stroke: #888; stroke-dasharray: 2 4 }
"""


def nice_top(value):
    """The least even, round number that has room for it."""
    scale = 1
    while True:
        for step in (2, 4, 6, 8, 10, 12, 16):
            if step * scale >= value:
                return step * scale
        scale *= 10


class Panel:
    def __init__(self, index, title, top_value, length):
        self.y0 = TOP + index * (PANEL + GAP)
        self.title, self.top_value, self.length = title, nice_top(max(top_value, 1)), length
        self.parts = []

    def x(self, t):
        return round(LEFT + PLOT * min(t, self.length) / self.length, 1)

    def y(self, value):
        return round(self.y0 + PANEL * (1 - min(value, self.top_value) / self.top_value), 1)

    def line(self, css, points):
        path = " ".join(f"{self.x(t)},{self.y(v)}" for t, v in points)
        self.parts.append(f'<polyline class="{css}" points="{path}"/>')

    def area(self, css, points):
        if points:
            path = " ".join(f"{self.x(t)},{self.y(v)}" for t, v in points)
            base = self.y(0)
            self.parts.append(f'<polygon class="{css}" points="{self.x(points[0][0])},{base} {path} '
                              f'{self.x(points[-1][0])},{base}"/>')

    def level(self, css, value, text):
        y = self.y(value)
        self.parts.append(f'<line class="{css}" x1="{LEFT}" x2="{LEFT + PLOT}" y1="{y}" y2="{y}"/>'
                          f'<text x="{LEFT + PLOT}" y="{y - 5}" text-anchor="end">{text}</text>')

    def render(self):
        out = [f'<text x="{LEFT}" y="{self.y0 - 10}">{self.title}</text>']
        for share in (0, 0.5, 1):
            y = self.y(self.top_value * share)
            out.append(f'<line class="{"axis" if share == 0 else "grid"}" x1="{LEFT}" '
                       f'x2="{LEFT + PLOT}" y1="{y}" y2="{y}"/>'
                       f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">'
                       f'{self.top_value * share:g}</text>')
        return out + self.parts


def stairs(points):
    """Counts change at once, so they are drawn as steps."""
    out = []
    for t, value in points:
        if out:
            out.append((t, out[-1][1]))
        out.append((t, value))
    return out


def draw(seconds, points, length, fixed):
    """`seconds`: loadgen's rows. `points`: (t, existing, ready, desired, in flight, queued)."""
    rows = [(int(row["second"]), float(row["sent"])) for row in seconds if int(row["second"]) < length - 1]
    load = Panel(0, "load: requests a second", max((v for _, v in rows), default=1), length)
    load.line("load", [(t + 0.5, v) for t, v in rows])
    flight = Panel(1, "in flight (red: waiting for an instance)",
                   max((p[4] + p[5] for p in points), default=1), length)
    flight.area("flight", [(p[0], p[4] + p[5]) for p in points])
    flight.area("queued", [(p[0], p[5]) for p in points])
    count = Panel(2, "instances ready (dashed: wanted)",
                  max([fixed] + [max(p[1], p[3]) for p in points]), length)
    count.area("ready", stairs([(p[0], p[2]) for p in points]))
    count.line("desired", stairs([(p[0], p[3]) for p in points]))
    count.level("fixed", fixed, f"a fixed fleet: {fixed}")
    height = TOP + 3 * (PANEL + GAP)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
           f'width="{WIDTH}" height="{height}">', f"<style>{STYLE}</style>",
           f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
           f'<text class="title" x="{LEFT}" y="24">plimsoll: two busy hours of the 1998 World Cup '
           f'site in {length:.0f} seconds</text>']
    for panel in (load, flight, count):
        out += panel.render()
    for step in range(0, 6):
        t = length * step / 5
        out.append(f'<text x="{load.x(t)}" y="{height - 18}" text-anchor="middle">{t:.0f} s</text>')
    return "\n".join(out + ["</svg>", ""])
