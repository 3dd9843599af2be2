//! How the nodes are used, as a picture: for each configuration a curve over the nodes, the fullest first.

use std::fmt::Write;

use super::Run;
use super::table::percent;
use crate::scheduler::simulation::Use;

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 240.0;
const MARGIN: f64 = 60.0;
const COLORS: [&str; 2] = ["#3366aa", "#cc6633"];
/// More points than this can't be seen.
const MAX_POINTS: usize = 420;

/// What of a run a panel shows.
type Part = fn(&Run) -> &Use;

/// Two panels, cpu and memory, with a legend.
pub(super) fn svg(runs: &[Run]) -> String {
    let width = 2.0 * (WIDTH + MARGIN) + MARGIN;
    let height = HEIGHT + 2.0 * MARGIN + 20.0 * lines(runs);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let panels: [(&str, Part); 2] =
        [("cpu", |run| &run.report.measures.cpu), ("memory", |run| &run.report.measures.memory)];
    for (place, (name, of)) in (0_u8..).zip(panels) {
        let left = MARGIN + f64::from(place) * (WIDTH + MARGIN);
        panel(&mut svg, left, name);
        for (run, color) in runs.iter().zip(COLORS) {
            curve(&mut svg, left, &of(run).by_node, color);
        }
    }
    legend(&mut svg, runs);
    svg.push_str("</svg>\n");
    svg
}

#[expect(clippy::cast_precision_loss, reason = "there are one or two")]
fn lines(runs: &[Run]) -> f64 {
    runs.len() as f64
}

fn panel(svg: &mut String, left: f64, name: &str) {
    let (top, bottom) = (MARGIN, MARGIN + HEIGHT);
    for quarter in 0_u8..=4 {
        let y = bottom - HEIGHT * f64::from(quarter) / 4.0;
        let right = left + WIDTH;
        _ = writeln!(svg, "<line x1=\"{left}\" y1=\"{y}\" x2=\"{right}\" y2=\"{y}\" stroke=\"#dddddd\"/>");
        let (x, y) = (left - 6.0, y + 4.0);
        _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{} %</text>", u32::from(quarter) * 25);
    }
    let (middle, y) = (left + WIDTH / 2.0, top - 20.0);
    _ = writeln!(svg, "<text x=\"{middle}\" y=\"{y}\" text-anchor=\"middle\">{name} requested, by node</text>");
    let y = bottom + 18.0;
    _ = writeln!(svg, "<text x=\"{middle}\" y=\"{y}\" text-anchor=\"middle\">nodes, the fullest first</text>");
}

#[expect(clippy::cast_precision_loss, reason = "a picture")]
fn curve(svg: &mut String, left: f64, values: &[f64], color: &str) {
    let step = values.len().div_ceil(MAX_POINTS).max(1);
    let count = values.len().max(1) as f64;
    let mut points = String::new();
    // Steps, since nodes are counted: each is as wide as the others.
    for place in (0..values.len()).step_by(step) {
        let y = MARGIN + HEIGHT * (1.0 - values[place].clamp(0.0, 1.0));
        let from = left + WIDTH * place as f64 / count;
        let to = left + WIDTH * (place + step).min(values.len()) as f64 / count;
        _ = write!(points, "{from:.1},{y:.1} {to:.1},{y:.1} ");
    }
    _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>",
        points.trim_end()
    );
}

fn legend(svg: &mut String, runs: &[Run]) {
    for (place, (run, color)) in (0_u8..).zip(runs.iter().zip(COLORS)) {
        let y = MARGIN + HEIGHT + 45.0 + 20.0 * f64::from(place);
        let measures = &run.report.measures;
        let text = format!(
            "{}: {} placed, {} unplaced; cpu fragmentation {}, imbalance {}; memory fragmentation {}, imbalance {}",
            escaped(&run.name),
            measures.placed,
            measures.unplaced,
            percent(measures.cpu.fragmentation),
            percent(measures.cpu.imbalance),
            percent(measures.memory.fragmentation),
            percent(measures.memory.imbalance),
        );
        let (x, square) = (MARGIN + 18.0, y - 10.0);
        _ = writeln!(svg, "<rect x=\"{MARGIN}\" y=\"{square}\" width=\"12\" height=\"12\" fill=\"{color}\"/>");
        _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\">{text}</text>");
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
