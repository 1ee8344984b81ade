//! Charts: a point for each contestant on a logarithmic axis, and a line from
//! the first quartile to the third.

use std::path::Path;

use plotters::prelude::*;

use crate::Result;
use crate::contestants::{OURS, is_reference};
use crate::rows::Chart;

const WIDTH: u32 = 760;

const LINE_HEIGHT: u32 = 26;

const MARGIN: u32 = 80;

/// Space for names, in pixels.
const NAMES: u32 = 170;

const GREY: RGBColor = RGBColor(128, 128, 128);

pub fn write(chart: &Chart, file: &Path) -> Result {
    let count = chart.points.len();
    if count == 0 {
        return Ok(());
    }
    let height = LINE_HEIGHT * count as u32 + MARGIN;
    let root = SVGBackend::new(file, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let low = chart
        .points
        .iter()
        .map(|(_, point)| point.q1)
        .fold(f64::INFINITY, f64::min);
    let high = chart
        .points
        .iter()
        .map(|(_, point)| point.q3)
        .fold(0.0, f64::max);
    let (low, high) = (low.max(1e-3) / 1.25, high.max(1e-3) * 1.6);
    let mut axes = ChartBuilder::on(&root)
        .margin(10)
        .x_label_area_size(46)
        .y_label_area_size(NAMES)
        .build_cartesian_2d((low..high).log_scale(), (0..count - 1).into_segmented())?;
    let name = |place: &SegmentValue<usize>| match place {
        // The first is at the top.
        SegmentValue::CenterOf(place) if *place < count => {
            chart.points[count - 1 - place].0.clone()
        }
        _ => String::new(),
    };
    axes.configure_mesh()
        .disable_y_mesh()
        .y_labels(count)
        .x_labels(8)
        .x_max_light_lines(1)
        .y_label_formatter(&name)
        .x_label_formatter(&|value| number(*value))
        .x_desc(chart.axis.as_str())
        .light_line_style(BLACK.mix(0.06))
        .bold_line_style(BLACK.mix(0.15))
        .draw()?;
    for (place, (name, point)) in chart.points.iter().rev().enumerate() {
        let at = |value: f64| (value.max(low), SegmentValue::CenterOf(place));
        let colour = match name.as_str() {
            OURS => RED,
            name if is_reference(name) => GREY,
            _ => BLUE,
        };
        axes.draw_series([PathElement::new(
            vec![at(point.q1), at(point.q3)],
            colour.stroke_width(3),
        )])?;
        axes.draw_series([Circle::new(at(point.median), 4, colour.filled())])?;
        let label = EmptyElement::at(at(point.median))
            + Text::new(number(point.median), (-8, -17), ("sans-serif", 12));
        axes.draw_series([label])?;
    }
    root.present()?;
    Ok(())
}

/// Three figures.
fn number(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
