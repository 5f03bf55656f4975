//! How well real nodes keep to their limits, in network namespaces.

use anyhow::{Result, bail};
use weft_fidelity::{Way, cap_kept, uplink_shared};

use super::{Figure, Options, fidelity::pack, model::random_model};
use crate::{bench::model::Shape, shell};

/// Layers of the release: 90 MiB, more than passes under the caps.
const LAYERS: usize = 12;

pub(crate) fn run(options: &Options) -> Result<Vec<Figure>> {
    if let Some(obstacle) = weft_fidelity::obstacle() {
        bail!("limits cannot be measured here: {obstacle}");
    }
    let weft = shell::weft()?;
    let folder = tempfile::tempdir()?;
    let (model, out) = (
        folder.path().join("model"),
        folder.path().join("release.weft"),
    );
    random_model(&model, Shape::narrow(LAYERS), 0)?;
    pack(&weft, &model, &out, "1.0.0")?;
    let release = weft_fidelity::PackedRelease::read(&out)?;
    let is_asked = |name: &str| options.case.as_deref().is_none_or(|case| case == name);
    let mut figures = Vec::new();
    for (way, name) in [
        (Way::Fetch, "fetching from ten"),
        (Way::Serve, "serving ten"),
    ] {
        if !is_asked("caps") {
            continue;
        }
        let kept = cap_kept(way, &weft, &release)?;
        let over = |[least, most]: [f64; 2]| 100.0 * (most - 1.0).max(1.0 - least);
        let told = |[least, most]: [f64; 2]| format!("{least:.4} to {most:.4} of the cap");
        figures.extend([
            Figure::new(
                format!("1 MB/s, {name}: worst window of 10 s off by"),
                over(kept.inside),
                "%",
            )
            .against(told(kept.inside))
            .at_most(3.0),
            Figure::new(
                format!("1 MB/s, {name}: over the uplink with all headers, most"),
                kept.outside[1],
                "of the cap",
            )
            .against(told(kept.outside)),
            Figure::new(
                format!("{name}: a lower cap is kept after"),
                kept.lowered.as_secs_f64(),
                "s",
            )
            .at_most(1.0),
            Figure::new(
                format!("{name}: a higher cap is used after"),
                kept.raised.as_secs_f64(),
                "s",
            )
            .at_most(1.0),
        ]);
    }
    for (way, name) in [(Way::Fetch, "fetching"), (Way::Serve, "serving")] {
        if !is_asked("background") {
            continue;
        }
        let shared = uplink_shared(way, &weft, &release)?;
        let megabytes = |rate: f64| format!("{:.2} MB/s", rate / 1e6);
        let of_alone = |rate: f64| rate / shared.flow_alone;
        let against = format!(
            "{} beside, {} alone",
            megabytes(shared.flow_beside),
            megabytes(shared.flow_alone)
        );
        figures.extend([
            Figure::new(
                format!("{name} in the background: a plain TCP flow keeps"),
                of_alone(shared.flow_beside),
                "of what it reaches alone",
            )
            .against(against)
            .at_least(0.9),
            Figure::new(
                format!("{name}, not in the background: the flow keeps"),
                of_alone(shared.flow_beside_foreground),
                "of what it reaches alone",
            ),
            Figure::new(
                format!("{name} in the background, nobody beside: the uplink carries"),
                of_alone(shared.node_alone),
                "of what the flow reaches",
            )
            .against("with all headers"),
        ]);
    }
    Ok(figures)
}
