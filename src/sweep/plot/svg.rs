//! A figure as SVG text: plain shapes and a few classes, so that it is readable on light and dark pages and needs no font,
//! no script and no library. Must not know where the numbers come from.

use std::fmt::Write;

use super::axis::Ticks;
use super::{Along, Figure, Line};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 74.0;
const TOP: f64 = 66.0;
const BOTTOM: f64 = 60.0;
/// Right of the plot with a legend, and without one.
const RIGHT: (f64, f64) = (170.0, 28.0);
/// Longest text of a legend or a tick, in characters.
const WORD_MOST: usize = 18;

/// Okabe and Ito's colours, which people with any colour vision can tell apart: on white, and lighter on black. Lines
/// differ in marker and dashes too.
const COLOURS: [(&str, &str); 8] = [
    ("#0072b2", "#56b4e9"),
    ("#d55e00", "#ff8f45"),
    ("#009e73", "#2fd3a5"),
    ("#a8487d", "#e39ac4"),
    ("#8a6d00", "#f0e442"),
    ("#3a3a3a", "#d8d8d8"),
    ("#2b7fb8", "#8fd0f5"),
    ("#b07300", "#e69f00"),
];
const DASHES: [&str; 4] = ["", "7 4", "2 3", "9 3 2 3"];

const STYLE: &str = "text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#222}\
.back{fill:#fff}.title{font-size:15px;font-weight:600}.note{fill:#555;font-size:11px}\
.grid{stroke:#e2e2e2}.axis{stroke:#555}.line{fill:none;stroke-width:2}.band{opacity:.18}.whisker{stroke-width:1.6}";
const DARK: &str = "text{fill:#e8e8e8}.back{fill:#15171a}.note{fill:#a5a5a5}.grid{stroke:#2d3136}.axis{stroke:#9a9a9a}\
.band{opacity:.24}";

struct Frame {
    x: Ticks,
    /// Words along the x axis; none where it has numbers.
    words: Vec<String>,
    y: Ticks,
    right: f64,
    lines: usize,
}

impl Frame {
    fn of(figure: &Figure) -> Frame {
        let groups = || figure.lines.iter().flat_map(|(_, groups)| groups);
        let numbers: Option<Vec<f64>> = groups()
            .map(|(x, _)| match x {
                Along::Number(number) => Some(*number),
                Along::Word(_) => None,
            })
            .collect();
        let mut words: Vec<String> = Vec::new();
        if numbers.is_none() {
            for (x, _) in groups() {
                let word = x.to_string();
                if !words.contains(&word) {
                    words.push(word);
                }
            }
        }
        let x = match numbers {
            Some(numbers) => {
                let (low, high) = ends(numbers.into_iter());
                Ticks::over(low, high, 7)
            }
            None => Ticks::slots(words.len()),
        };
        let (low, high) = ends(groups().flat_map(|(_, group)| {
            let (low, high) = group.bounds();
            [low, high]
        }));
        // From nought where that costs little room: heights can be compared then.
        let low = if low > 0.0 && low < 0.6 * high {
            0.0
        } else {
            low
        };
        let legend = figure.lines.len() > 1 || !figure.by_title.is_empty();
        Frame {
            x,
            words,
            y: Ticks::over(low, high, 6),
            lines: figure.lines.len(),
            right: WIDTH - if legend { RIGHT.0 } else { RIGHT.1 },
        }
    }

    fn across(&self, x: &Along) -> f64 {
        let number = match x {
            Along::Number(number) => *number,
            Along::Word(word) => self
                .words
                .iter()
                .position(|known| known == word)
                .unwrap_or(0) as f64,
        };
        LEFT + self.x.place(number) * (self.right - LEFT)
    }

    fn down(&self, y: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(y) * (HEIGHT - BOTTOM - TOP)
    }
}

fn ends(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    numbers.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), number| {
        (low.min(number), high.max(number))
    })
}

/// The picture of a figure that has at least one group.
pub(super) fn draw(figure: &Figure) -> String {
    let frame = Frame::of(figure);
    let mut svg = String::new();
    let _ = draw_into(&mut svg, figure, &frame);
    svg
}

fn draw_into(svg: &mut String, figure: &Figure, frame: &Frame) -> std::fmt::Result {
    let (mut light, mut dark) = (String::new(), String::new());
    for (index, _) in figure.lines.iter().enumerate() {
        let (on_white, on_black) = COLOURS[index % COLOURS.len()];
        write!(
            light,
            ".s{index}{{stroke:{on_white}}}.f{index}{{fill:{on_white}}}"
        )?;
        write!(
            dark,
            ".s{index}{{stroke:{on_black}}}.f{index}{{fill:{on_black}}}"
        )?;
    }
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n<title>{}</title>\n\
         <style>{STYLE}{light}@media(prefers-color-scheme:dark){{{DARK}{dark}}}</style>\n\
         <rect class=\"back\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>",
        escaped(&figure.title)
    )?;
    let title = short(&figure.title, 80);
    writeln!(
        svg,
        "<text class=\"title\" x=\"{LEFT}\" y=\"28\">{title}</text>"
    )?;
    writeln!(
        svg,
        "<text class=\"note\" x=\"{LEFT}\" y=\"46\">{}</text>",
        short(&figure.note, 110)
    )?;
    axes(svg, figure, frame)?;
    for (index, line) in figure.lines.iter().enumerate() {
        band(svg, index, line, frame)?;
    }
    for (index, line) in figure.lines.iter().enumerate() {
        means(svg, index, line, frame)?;
    }
    if frame.right < WIDTH - RIGHT.1 {
        legend(svg, figure, frame)?;
    }
    svg.push_str("</svg>\n");
    Ok(())
}

fn axes(svg: &mut String, figure: &Figure, frame: &Frame) -> std::fmt::Result {
    let (right, base) = (frame.right, HEIGHT - BOTTOM);
    for at in &frame.y.at {
        let (y, label) = (frame.down(*at), frame.y.label(*at));
        writeln!(svg, "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>")?;
        let (x, y) = (LEFT - 8.0, y + 4.0);
        writeln!(
            svg,
            "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{label}</text>"
        )?;
    }
    let marks: Vec<(f64, String)> = match frame.words.is_empty() {
        true => frame
            .x
            .at
            .iter()
            .map(|at| (frame.across(&Along::Number(*at)), frame.x.label(*at)))
            .collect(),
        false => frame
            .words
            .iter()
            .map(|word| {
                (
                    frame.across(&Along::Word(word.clone())),
                    short(word, WORD_MOST),
                )
            })
            .collect(),
    };
    for (x, label) in marks {
        let (end, y) = (base + 5.0, base + 20.0);
        writeln!(svg, "<path class=\"axis\" d=\"M{x:.1} {base}V{end}\"/>")?;
        writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{label}</text>"
        )?;
    }
    writeln!(
        svg,
        "<path class=\"axis\" fill=\"none\" d=\"M{LEFT} {TOP}V{base}H{right}\"/>"
    )?;
    let (x, y) = ((LEFT + right) / 2.0, HEIGHT - 18.0);
    let title = short(&figure.x_title, 60);
    writeln!(
        svg,
        "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{title}</text>"
    )?;
    let (y, title) = ((TOP + base) / 2.0, short(&figure.y_title, 50));
    writeln!(
        svg,
        "<text transform=\"translate(20 {y}) rotate(-90)\" text-anchor=\"middle\">{title}</text>"
    )
}

/// The confidence of a line of numbers; of words each has its own whisker.
fn band(svg: &mut String, index: usize, (_, groups): &Line, frame: &Frame) -> std::fmt::Result {
    let bounded: Vec<_> = groups
        .iter()
        .filter(|(_, group)| group.half.is_some())
        .collect();
    if frame.words.is_empty() && bounded.len() > 1 {
        let edge = |(x, y): (f64, f64)| format!("{x:.1},{y:.1}");
        let upper = bounded
            .iter()
            .map(|(x, group)| (frame.across(x), frame.down(group.bounds().1)));
        let lower = bounded
            .iter()
            .rev()
            .map(|(x, group)| (frame.across(x), frame.down(group.bounds().0)));
        let points: Vec<String> = upper.chain(lower).map(edge).collect();
        return writeln!(
            svg,
            "<polygon class=\"band f{index}\" points=\"{}\"/>",
            points.join(" ")
        );
    }
    for (x, group) in bounded {
        let (x, (low, high)) = (frame.across(x) + aside(index, frame), group.bounds());
        let (low, high) = (frame.down(low), frame.down(high));
        writeln!(
            svg,
            "<path class=\"whisker s{index}\" d=\"M{x:.1} {low:.1}V{high:.1}M{:.1} {low:.1}h8M{:.1} {high:.1}h8\"/>",
            x - 4.0,
            x - 4.0
        )?;
    }
    Ok(())
}

/// Lines over words stand side by side.
fn aside(index: usize, frame: &Frame) -> f64 {
    match frame.words.is_empty() {
        true => 0.0,
        false => 11.0 * (index as f64 - (frame.lines - 1) as f64 / 2.0),
    }
}

fn means(svg: &mut String, index: usize, (_, groups): &Line, frame: &Frame) -> std::fmt::Result {
    let at = |(x, group): &(Along, super::Group)| {
        (
            frame.across(x) + aside(index, frame),
            frame.down(group.mean),
        )
    };
    if frame.words.is_empty() && groups.len() > 1 {
        let points: Vec<String> = groups
            .iter()
            .map(at)
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let dashes = dashes(index);
        writeln!(
            svg,
            "<polyline class=\"line s{index}\"{dashes} points=\"{}\"/>",
            points.join(" ")
        )?;
    }
    for (x, y) in groups.iter().map(at) {
        marker(svg, index, x, y)?;
    }
    Ok(())
}

fn dashes(index: usize) -> String {
    match DASHES[index % DASHES.len()] {
        "" => String::new(),
        dashes => format!(" stroke-dasharray=\"{dashes}\""),
    }
}

fn marker(svg: &mut String, index: usize, x: f64, y: f64) -> std::fmt::Result {
    match index % 4 {
        0 => writeln!(
            svg,
            "<circle class=\"f{index}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>"
        ),
        1 => writeln!(
            svg,
            "<path class=\"f{index}\" d=\"M{:.1} {:.1}h7v7h-7z\"/>",
            x - 3.5,
            y - 3.5
        ),
        2 => writeln!(
            svg,
            "<path class=\"f{index}\" d=\"M{x:.1} {:.1}l4.5 8h-9z\"/>",
            y - 5.0
        ),
        _ => writeln!(
            svg,
            "<path class=\"f{index}\" d=\"M{x:.1} {:.1}l5 5l-5 5l-5 -5z\"/>",
            y - 5.0
        ),
    }
}

fn legend(svg: &mut String, figure: &Figure, frame: &Frame) -> std::fmt::Result {
    let left = frame.right + 18.0;
    if !figure.by_title.is_empty() {
        let (y, title) = (TOP + 6.0, short(&figure.by_title, WORD_MOST));
        writeln!(
            svg,
            "<text class=\"note\" x=\"{left}\" y=\"{y}\">{title}</text>"
        )?;
    }
    for (index, (name, _)) in figure.lines.iter().enumerate() {
        let y = TOP + 26.0 + 20.0 * index as f64;
        let dashes = dashes(index);
        writeln!(
            svg,
            "<path class=\"line s{index}\"{dashes} d=\"M{left} {y}h26\"/>"
        )?;
        marker(svg, index, left + 13.0, y)?;
        let (x, y, name) = (left + 34.0, y + 4.0, short(name, WORD_MOST));
        writeln!(svg, "<text x=\"{x}\" y=\"{y}\">{name}</text>")?;
    }
    Ok(())
}

/// Text that fits, escaped.
fn short(text: &str, most: usize) -> String {
    match text.chars().count() <= most {
        true => escaped(text),
        false => escaped(
            &text
                .chars()
                .take(most - 1)
                .chain(['\u{2026}'])
                .collect::<String>(),
        ),
    }
}

fn escaped(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    plain
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
