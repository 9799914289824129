//! Line plots as SVG: the only module that names `plotters`.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

/// A line of a plot.
pub(crate) struct Series {
    pub(crate) label: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Orange, blue and green that colour-blind people tell apart (Okabe & Ito 2008).
const COLOURS: [RGBColor; 3] = [RGBColor(213, 94, 0), RGBColor(0, 114, 178), RGBColor(0, 158, 115)];

/// The panel that has room for the legend.
const LEGEND_PANEL: usize = 1;

/// 64000 as 64k.
fn short(number: f64) -> String {
    if number >= 2000.0 && number % 1000.0 == 0.0 {
        format!("{}k", number / 1000.0)
    } else {
        number.to_string()
    }
}

/// Draws panels side by side, both axes logarithmic, all with the same y.
pub(crate) fn line_plot(path: &Path, y_label: &str, panels: &[(String, Vec<Series>)]) -> Result<()> {
    let failed = |err: &dyn std::fmt::Display| anyhow!("cannot draw {}: {err}", path.display());
    let points = || panels.iter().flat_map(|it| &it.1).flat_map(|it| &it.points);
    let low = points().map(|it| it.1).fold(f64::INFINITY, f64::min);
    let high = points().map(|it| it.1).fold(0.0, f64::max);
    let width = u32::try_from(panels.len())? * 340;
    let root = SVGBackend::new(path, (width, 300)).into_drawing_area();
    root.fill(&WHITE).map_err(|err| failed(&err))?;
    for (index, (area, (x_label, lines))) in
        root.split_evenly((1, panels.len())).into_iter().zip(panels).enumerate()
    {
        let xs = || lines.iter().flat_map(|it| &it.points).map(|it| it.0);
        let (first, last) = (xs().fold(f64::INFINITY, f64::min), xs().fold(0.0, f64::max));
        let ticks: Vec<f64> = lines.first().into_iter().flat_map(|it| &it.points).map(|it| it.0).collect();
        let mut chart = ChartBuilder::on(&area)
            .margin(14)
            .x_label_area_size(36)
            .y_label_area_size(52)
            .build_cartesian_2d(
                (0.9 * first..1.1 * last).log_scale().with_key_points(ticks),
                (0.7 * low..1.4 * high).log_scale(),
            )
            .map_err(|err| failed(&err))?;
        chart
            .configure_mesh()
            .light_line_style(WHITE.mix(0.0))
            .bold_line_style(BLACK.mix(0.12))
            .x_desc(x_label)
            .y_desc(if index == 0 { y_label } else { "" })
            .x_label_formatter(&|it| short(*it))
            .y_label_formatter(&|it| format!("{it}"))
            .label_style(("sans-serif", 12))
            .draw()
            .map_err(|err| failed(&err))?;
        for (line, colour) in lines.iter().zip(COLOURS) {
            let drawn = chart
                .draw_series(
                    LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)).point_size(3),
                )
                .map_err(|err| failed(&err))?;
            if index == LEGEND_PANEL {
                drawn
                    .label(line.label)
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
            }
        }
        if index == LEGEND_PANEL {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .label_font(("sans-serif", 12))
                .background_style(WHITE.mix(0.8))
                .draw()
                .map_err(|err| failed(&err))?;
        }
    }
    root.present().map_err(|err| failed(&err))
}
