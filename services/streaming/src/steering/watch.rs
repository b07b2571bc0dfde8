//! Asks the surrogates of each site what they have counted, and tells the sites. One answer a site and moment: where several
//! surrogates stand behind a site's name, each is heard in turn.

use std::sync::PoisonError;
use std::time::Instant;

use futures_util::future::join_all;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::figures::{Counted, Figures};
use super::sites::Condition;
use super::{Steered, Steering, lock};

impl Steering {
    /// Asks until it is told to stop.
    pub(crate) async fn until(self, stop: CancellationToken) {
        let Some(steered) = self.0 else { return stop.cancelled().await };
        let mut figures: Vec<Figures> = steered.clients.iter().map(|_| Figures::default()).collect();
        let mut tick = tokio::time::interval(steered.config.every.0);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = steered.look(&mut figures) => {}
            }
        }
    }
}

// === impl Steered ===

impl Steered {
    async fn look(&self, figures: &mut [Figures]) {
        let began = Instant::now();
        let answers = join_all(self.clients.iter().map(|client| client.edge_stats())).await;
        let window_ms = self.window_ms();
        let now_ms = self.now_ms();
        let mut conditions = Vec::with_capacity(figures.len());
        let told = self.told.iter().map(|told| {
            let (reports, complaints) = lock(told).counted();
            Counted { reports, complaints, ..Counted::default() }
        });
        for (figures, told) in figures.iter_mut().zip(told) {
            figures.hear(now_ms, window_ms, told);
        }
        for ((figures, answer), pathway) in figures.iter_mut().zip(&answers).zip(&self.config.pathways) {
            if let Err(error) = answer {
                let took_ms = began.elapsed().as_millis();
                tracing::debug!(site = pathway.site, %error, took_ms, "a site does not say how it fares");
            }
            let counted = answer.as_ref().ok().map(|stats| (stats.surrogate.as_str(), Counted::of(stats)));
            figures.note(now_ms, window_ms, counted);
            conditions.push(figures.condition(pathway.capacity_mbps));
        }
        self.take(now_ms, &conditions);
    }

    fn take(&self, now_ms: u64, conditions: &[Condition]) {
        let mut sites = self.sites.write().unwrap_or_else(PoisonError::into_inner);
        if !sites.observe(now_ms, conditions) {
            return;
        }
        for (at, pathway) in self.config.pathways.iter().enumerate() {
            let (site, is_open, condition) =
                (&pathway.site, sites.is_open(at), sites.condition(at).unwrap_or_default());
            tracing::info!(site, is_open, ?condition, "viewers are steered anew");
        }
    }
}
