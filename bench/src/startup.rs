//! `flame up`: how long until everything is ready, and what it takes at rest.

use std::time::Duration;

use anyhow::Result;

use crate::flame::{self, Flame};
use crate::report::{Figure, Row, Section};
use crate::samples::{Bound, Samples};
use crate::{Options, process};

/// Time at rest before the memory is read: whatever a start leaves to be done is done.
const REST: Duration = Duration::from_secs(3);
/// Promised time until ready, seconds.
const READY_MAX_S: f64 = 3.0;
/// Promised resident memory at rest, MiB.
const RESIDENT_MAX_MIB: f64 = 250.0;

/// Measures it.
pub async fn measure(options: &Options) -> Result<Section> {
    let workshop = options.workshop()?;
    let (mut first, mut again, mut resident) = (Samples::default(), Samples::default(), Samples::default());
    for round in 0..=options.rounds {
        let data = workshop.path().join(format!("data-{round}"));
        let starts = [&mut first, &mut again];
        for start in starts {
            process::settle_disk().await?;
            let flame = Flame::up(&data).await?;
            // The first round brings the programs into the page cache.
            if round > 0 {
                start.add(flame.ready_after.as_secs_f64());
                tokio::time::sleep(REST).await;
                resident.add(flame.server.resident_mib()?);
            }
            flame.server.stop().await?;
        }
    }
    let figures = vec![
        figure("ready, empty folder (worst)", first.max(), "s", READY_MAX_S),
        figure("ready, known folder (worst)", again.max(), "s", READY_MAX_S),
        figure("resident at rest (worst)", resident.max(), "MiB", RESIDENT_MAX_MIB),
    ];
    Ok(Section {
        name: "up",
        title: "`flame up`: time until ready, memory at rest".to_owned(),
        rows: vec![
            Row { what: "ready, empty folder".to_owned(), unit: "s", samples: first },
            Row { what: "ready, known folder".to_owned(), unit: "s", samples: again },
            Row { what: "resident at rest".to_owned(), unit: "MiB", samples: resident },
        ],
        figures,
        notes: vec![
            "From the start of the process until it prints that it is ready, with warm page cache.".to_owned(),
            format!(
                "Resident memory (`VmRSS`) of the process and all its descendants, {} s after that; shared pages count for each.",
                REST.as_secs()
            ),
        ],
        commands: vec![process::shown(&flame::command(&workshop.path().join("data"), 8080)?)],
    })
}

fn figure(what: &str, value: f64, unit: &'static str, bound: f64) -> Figure {
    Figure { what: what.to_owned(), value, unit, bound: Some(Bound::AtMost(bound)) }
}
