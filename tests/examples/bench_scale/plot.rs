//! The figures as a small SVG: seconds on the left axis, memory on the right.

use std::fmt::Write;

use crate::Figures;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 64.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 44.0;

/// A line of the plot.
struct Line {
    name: &'static str,
    color: &'static str,
    value: fn(&Figures) -> f64,
}

const SECONDS: [Line; 2] = [
    Line { name: "seconds until all run", color: "#1f6feb", value: |figures| figures.running },
    Line { name: "processor seconds", color: "#8250df", value: |figures| figures.cpu },
];
const MEMORY: [Line; 1] = [Line { name: "resident, GB", color: "#cf222e", value: |figures| figures.resident / 1000.0 }];

/// Draws them.
pub(crate) fn plot(all: &[Figures]) -> String {
    let pods = all.iter().map(|figures| figures.pods).max().unwrap_or(1) as f64;
    let highest = |lines: &[Line]| {
        let values = lines.iter().flat_map(|line| all.iter().map(|figures| (line.value)(figures)));
        round_up(values.fold(0.0, f64::max))
    };
    let (seconds, gigabytes) = (highest(&SECONDS), highest(&MEMORY));
    let x = |pods_here: f64| LEFT + (WIDTH - LEFT - RIGHT) * pods_here / pods;
    let y = |value: f64, highest: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / highest;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for step in 0..=4 {
        let share = f64::from(step) / 4.0;
        let (at, right) = (y(share, 1.0), WIDTH - RIGHT);
        let _ = writeln!(svg, "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#d0d7de\"/>");
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{at:.1}\" text-anchor=\"end\">{:.0} s</text>",
            LEFT - 6.0,
            share * seconds
        );
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{at:.1}\">{:.2} GB</text>", right + 6.0, share * gigabytes);
    }
    for figures in all {
        let (at, below) = (x(figures.pods as f64), HEIGHT - BOTTOM + 16.0);
        let _ = writeln!(svg, "<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{}</text>", figures.pods);
    }
    let lines = SECONDS.iter().map(|line| (line, seconds)).chain(MEMORY.iter().map(|line| (line, gigabytes)));
    for (place, (line, highest)) in lines.enumerate() {
        let Line { name, color, value } = line;
        let points: Vec<String> = all
            .iter()
            .map(|figures| format!("{:.1},{:.1}", x(figures.pods as f64), y(value(figures), highest)))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>",
            points.join(" ")
        );
        let at = LEFT + 170.0 * place as f64;
        let _ = writeln!(svg, "<text x=\"{at}\" y=\"20\" fill=\"{color}\">{name}</text>");
    }
    let nodes = all.first().map_or(0, |figures| figures.nodes);
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{}\">pods on {nodes} simulated nodes, in one process</text>",
        HEIGHT - 8.0
    );
    svg.push_str("</svg>\n");
    svg
}

/// A number that makes a good end of an axis.
fn round_up(value: f64) -> f64 {
    let unit = 10_f64.powf(value.max(0.01).log10().floor());
    (value / unit * 2.0).ceil() / 2.0 * unit
}
