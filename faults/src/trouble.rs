//! The outcome that most faults of policies ask for: the last good policy set stays, and everything says so.

use anyhow::ensure;
use portcullis_proto::v1::{Diagnostic, GetStatusResponse};

use crate::page;
use crate::sidecar::{Sidecar, until};

/// What was served before the fault.
#[derive(Debug)]
pub(crate) struct Before {
    status: GetStatusResponse,
    rejected: f64,
    errors: usize,
}

impl Before {
    /// Before the fault is injected.
    pub(crate) async fn of(sidecar: &Sidecar) -> anyhow::Result<Self> {
        let status = sidecar.status().await?;
        ensure!(status.generation > 0 && status.last_rejection.is_none(), "it was not well before");
        let rejected = sidecar.metric("portcullis_policy_reloads_total", "rejected").await?;
        Ok(Self { status, rejected, errors: sidecar.events("ERROR").len() })
    }

    /// Waits for the rejection and checks everything that comes with it. What alice may do stays as it was.
    pub(crate) async fn stays(&self, sidecar: &Sidecar) -> anyhow::Result<Vec<Diagnostic>> {
        let status = sidecar.until_status("a rejection", |status| status.last_rejection.is_some()).await?;
        ensure!(
            (status.generation, &status.revision) == (self.status.generation, &self.status.revision),
            "another policy set is served: generation {}",
            status.generation
        );
        ensure!(status.degraded && status.stale_for.is_some(), "the status is not degraded");
        sidecar.serves_alice().await?;
        let (code, ready) = sidecar.page("/readyz").await?;
        ensure!(code == 200 && ready.contains("degraded"), "/readyz says {code} {ready}");
        let (_, metrics) = sidecar.page("/metrics").await?;
        let rejected = page::metric(&metrics, "portcullis_policy_reloads_total", "rejected") - self.rejected;
        ensure!((0.5..1.5).contains(&rejected), "{rejected} rejections are counted");
        ensure!(page::metric(&metrics, "portcullis_degraded", "") > 0.5, "portcullis_degraded is 0");
        let rejection = status.last_rejection.unwrap_or_default();
        // A line takes its time through the pipe.
        until("an error line", async || Ok(sidecar.events("ERROR").len() > self.errors)).await?;
        let errors = sidecar.events("ERROR").len() - self.errors;
        ensure!(errors <= rejection.diagnostics_total as usize, "{errors} error lines");
        Ok(rejection.diagnostics)
    }

    /// Waits until the fault is over: the old policy set is what the directory holds, without a new generation.
    pub(crate) async fn returns(&self, sidecar: &Sidecar) -> anyhow::Result<()> {
        let status =
            sidecar.until_status("the rejection ends", |status| status.last_rejection.is_none()).await?;
        ensure!(status.generation == self.status.generation, "the same content got a new generation");
        ensure!(!status.degraded, "it stays degraded");
        sidecar.serves_alice().await
    }
}

/// A diagnostic in a few words.
pub(crate) fn told(diagnostic: &Diagnostic) -> String {
    let Diagnostic { code, file, line, column, message, .. } = diagnostic;
    format!("{code} {file}:{line}:{column} {message}")
}
