//! A small plot with logarithmic axes, as SVG that reads in light and in dark.

use std::fmt::Write as _;

/// One line through measured points.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
/// Room for the axes' numbers.
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 44.0;
/// Room for title and names.
const TOP: f64 = 92.0;
const RIGHT: f64 = 24.0;
/// Apart in hue and in lightness, also for those who see fewer colours.
const COLOURS: [&str; 4] = ["#2a6fdb", "#d9822b", "#3d9a50", "#8a4fbf"];

/// Both axes are logarithmic; a straight line that rises by one decade a decade is a cost
/// in proportion.
pub(crate) fn draw(title: &str, lines: &[Line]) -> String {
    let all = || lines.iter().flat_map(|line| &line.points);
    let (x_low, x_high) = decades(all().map(|point| point.0));
    let (y_low, y_high) = decades(all().map(|point| point.1));
    let x = |value: f64| LEFT + (value.log10() - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| {
        HEIGHT - BOTTOM - (value.log10() - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\" role=\"img\">\n\
         <title>{title}</title>\n\
         <style>svg{{background:#fff;color:#1b1f24}}.grid{{stroke:#8886}}\
         @media(prefers-color-scheme:dark){{svg{{background:#15181c;color:#e6e8ea}}}}</style>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"15\" fill=\"currentColor\">{title}</text>\n"
    );
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for decade in x_low as i32..=x_high as i32 {
        let value = 10_f64.powi(decade);
        let place = x(value);
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{place:.1} {TOP}V{bottom}\"/>\
             <text x=\"{place:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"currentColor\">{value}</text>",
            bottom + 20.0
        );
    }
    for decade in y_low as i32..=y_high as i32 {
        let value = 10_f64.powi(decade);
        let place = y(value);
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{LEFT} {place:.1}H{right}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"currentColor\">{value} s</text>",
            LEFT - 8.0,
            place + 4.0
        );
    }
    for (number, line) in lines.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let points: Vec<String> = line
            .points
            .iter()
            .map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1)))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
            points.join(" ")
        );
        for point in &line.points {
            let (x, y) = (x(point.0), y(point.1));
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>"
            );
        }
        let height = 42.0 + 16.0 * number as f64;
        let _ = writeln!(
            svg,
            "<path stroke=\"{colour}\" stroke-width=\"2\" d=\"M{LEFT} {:.1}h18\"/>\
             <text x=\"{:.1}\" y=\"{height:.1}\" fill=\"currentColor\">{}</text>",
            height - 4.0,
            LEFT + 24.0,
            line.name
        );
    }
    svg + "</svg>\n"
}

/// The whole decades around the values, as exponents.
fn decades(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(0.0, f64::max);
    let (low, high) = (low.max(1e-6).log10().floor(), high.max(1e-6).log10().ceil());
    (low, if high > low { high } else { low + 1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_in_proportion_is_a_line_through_the_corners() {
        let line = Line {
            name: "nodes".to_owned(),
            points: vec![(10.0, 1.0), (100.0, 10.0)],
        };
        let svg = draw("cost", &[line]);
        assert!(svg.contains("points=\"64.0,376.0 696.0,92.0\""), "{svg}");
    }
}
