//! One task, one loop: wait -> settle -> read everything -> same digest? stop -> build -> publish once.
//!
//! Events are hints and the poll is the guarantee; neither says what changed, the directory does. Invariant *last good*:
//! a scan that finds any error changes nothing but the status; only where nothing is served yet, the last good policy set
//! of an earlier process takes its place (`keep`). Each distinct state of the directory is judged, and logged, once.

mod keep;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_engine::{Code, Diagnostic, Loaded, PolicySet, Severity};
use tokio::time::{sleep, timeout};

use crate::build::{build, refuse_emptied, remarks};
use crate::last_good::{LastGood, Record};
use crate::read::{Reading, mounted_files, read_directory};
use crate::snapshot::{Packed, Revision, Snapshot};
use crate::status::{Keeping, Origin, Rejection};
use crate::store::{Shared, StoreOptions};
use crate::watch::Watch;

/// How many quiet times the directory may be noisy before it is read all the same.
const SETTLE_ROUNDS_MAX: u32 = 10;
/// Findings of one reading that are logged one by one.
const LOGGED_MAX: usize = 100;
/// A step on the disk that takes longer is worth a log line, again and again.
const SLOW: Duration = Duration::from_secs(30);

/// The task's own state.
pub(crate) struct Reload {
    options: Arc<StoreOptions>,
    shared: Arc<Shared>,
    watch: Option<Watch>,
    active: Option<Arc<Snapshot>>,
    refused: Option<Revision>,
    last_good: Option<LastGood>,
}

/// What a build made of one reading.
struct Built {
    loaded: Loaded,
    revision: Revision,
    sources: Vec<Packed>,
}

impl Reload {
    pub(crate) fn new(mut options: StoreOptions, shared: Arc<Shared>) -> Self {
        // A relative path must not follow the process to another working directory.
        if let Ok(absolute) = std::path::absolute(&options.directory) {
            options.directory = absolute;
        }
        // A task before this one may have published.
        let active = shared.published.load();
        Self { options: Arc::new(options), shared, watch: None, active, refused: None, last_good: None }
    }

    pub(crate) async fn run(mut self) {
        self.open_state().await;
        self.warn_of_mounts().await;
        loop {
            // Watch first, read second: a change between the two is an event.
            self.renew_watch().await;
            self.scan().await;
            self.wait().await;
        }
    }

    /// Until the poll is due, or until a hint came and the directory has been quiet.
    async fn wait(&self) {
        let wake = &self.shared.wake;
        if timeout(self.options.poll_interval, wake.notified()).await.is_err() {
            return;
        }
        let settle = self.options.settle;
        let quiet = async { while timeout(settle, wake.notified()).await.is_ok() {} };
        let _ = timeout(settle.saturating_mul(SETTLE_ROUNDS_MAX), quiet).await;
    }

    async fn renew_watch(&mut self) {
        let (previous, options) = (self.watch.take(), Arc::clone(&self.options));
        let wake = Arc::clone(&self.shared.wake);
        let renewed = self.blocking("watch", move || Watch::renew(previous, &options.directory, &wake)).await;
        self.watch = renewed.ok();
        let watching = self.watch.as_ref().is_some_and(Watch::is_live);
        self.shared
            .status
            .send_if_modified(|status| std::mem::replace(&mut status.watching, watching) != watching);
    }

    /// A file that is a mount of its own shows the object that was mounted, whatever its name elsewhere leads to by now.
    async fn warn_of_mounts(&self) {
        let options = Arc::clone(&self.options);
        let look = move || mounted_files(&options.directory, &options.limits);
        for file in self.blocking("look", look).await.unwrap_or_default() {
            tracing::warn!(
                file,
                "a policy file is mounted by itself (`subPath`?) and may never show a change; mount its directory"
            );
        }
    }

    async fn scan(&mut self) {
        let options = Arc::clone(&self.options);
        match self.blocking("read", move || read_directory(&options.directory, &options.rules())).await {
            Ok(reading) => self.judge(reading).await,
            Err(found) => {
                let revision = Revision::new(blake3::hash(found.message.as_bytes()).into());
                self.refuse(revision, vec![found]).await;
            }
        }
        self.shared.status.send_modify(|status| {
            status.scans += 1;
            status.reloads.interrupted = false;
        });
    }

    async fn judge(&mut self, reading: Reading) {
        let revision = reading.revision;
        if self.active.as_ref().is_some_and(|active| active.revision == revision) {
            self.confirm();
            return self.save().await;
        }
        if self.refused == Some(revision) {
            return;
        }
        let active = self.active.clone();
        let options = Arc::clone(&self.options);
        let built = self.blocking("build", move || build_reading(reading, active.as_deref(), &options)).await;
        match built {
            Ok(Built { loaded: Loaded { policy_set: Some(policy_set), diagnostics }, revision, sources }) => {
                self.publish(policy_set, revision, sources, Origin::Directory);
                self.warn(&diagnostics, revision);
                self.save().await;
            }
            Ok(Built { loaded, revision, .. }) => self.refuse(revision, loaded.diagnostics).await,
            Err(found) => self.refuse(revision, vec![found]).await,
        }
    }

    /// Where nothing is served yet, what an earlier process served comes first.
    async fn refuse(&mut self, revision: Revision, diagnostics: Vec<Diagnostic>) {
        if self.active.is_none() {
            self.restore().await;
        }
        self.reject(revision, diagnostics);
    }

    /// The directory holds what is served: whatever was refused in between is gone.
    fn confirm(&mut self) {
        self.refused = None;
        let back = self.shared.status.send_if_modified(|status| {
            let was_stale = status.rejection.take().is_some() | status.stale_since.take().is_some();
            status.origin = Origin::Directory;
            was_stale
        });
        if back {
            tracing::info!("the policy directory is back to the served policy set");
        }
    }

    fn publish(&mut self, policy_set: PolicySet, revision: Revision, sources: Vec<Packed>, origin: Origin) {
        let generation = self.active.as_ref().map_or(0, |active| active.generation) + 1;
        let counts = policy_set.counts();
        let snapshot = Arc::new(Snapshot {
            policy_set,
            revision,
            generation,
            loaded_at: SystemTime::now(),
            load_mode: self.options.load_mode,
            revision_text: revision.to_string().into(),
            sources,
        });
        self.active = Some(Arc::clone(&snapshot));
        self.refused = None;
        let change = self.shared.publish(generation, Arc::clone(&snapshot), origin);
        tracing::info!(
            generation,
            %revision,
            files = snapshot.files(),
            users = counts.users,
            groups = counts.groups,
            roles = counts.roles,
            policies = counts.policies,
            statements = counts.statements,
            change = change.as_ref().map(tracing::field::display),
            "policy set published"
        );
        if let Some(change) = change.filter(|change| change.loses_denials()) {
            tracing::warn!(generation, %change, "fewer statements deny than before");
        }
    }

    /// The remarks on a policy set that was published all the same.
    fn warn(&self, found: &[Diagnostic], revision: Revision) {
        let serving = self.active.as_ref().map_or(0, |active| active.generation);
        let more = log_first(found, revision, serving);
        if more > 0 {
            tracing::warn!(more, "more remarks on the published policy set; `portcullis check` shows all");
        }
    }

    fn reject(&mut self, revision: Revision, mut diagnostics: Vec<Diagnostic>) {
        if self.refused.replace(revision) == Some(revision) {
            return;
        }
        // Whoever tells only some of them tells what it was refused for.
        diagnostics.sort_by_key(|found| std::cmp::Reverse(found.severity));
        let serving = self.active.as_ref().map_or(0, |active| active.generation);
        let more = log_first(&diagnostics, revision, serving);
        if more > 0 {
            tracing::error!(
                more,
                "more findings in the refused policy directory; `portcullis check` shows all"
            );
        }
        let rejection = Rejection { at: SystemTime::now(), revision, diagnostics };
        self.shared.status.send_modify(|status| {
            status.rejection = Some(rejection);
            status.reloads.rejected += 1;
            if status.generation > 0 {
                status.stale_since.get_or_insert_with(std::time::Instant::now);
            }
        });
    }

    /// Runs a step where blocking is allowed. A step that panics is a finding, not the end of the task.
    async fn blocking<T: Send + 'static>(
        &self,
        step: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Diagnostic> {
        let mut running = tokio::task::spawn_blocking(work);
        let ended = loop {
            tokio::select! {
                ended = &mut running => break ended,
                () = sleep(SLOW) => {
                    tracing::warn!(step, "the policy directory is slow: a step of the reload is not done yet");
                    self.shared.status.send_modify(|status| status.reloads.slow_steps += 1);
                }
            }
        };
        ended.map_err(|error| {
            let message = format!("the {step} step of the reload stopped early: {error}");
            Diagnostic::of_file(Code::UnreadableFile, Severity::Error, ".", message)
        })
    }
}

fn build_reading(reading: Reading, active: Option<&Snapshot>, options: &StoreOptions) -> Built {
    let files_before = active.map_or(0, Snapshot::files);
    let counts_before = active.map(|active| active.policy_set.counts()).unwrap_or_default();
    let remarks = remarks(&reading, files_before, options.allow_empty);
    let Reading { sources, faults, exposure: _, revision } = reading;
    let packed = sources.iter().map(Packed::of).collect();
    let loaded = refuse_emptied(build(sources, &faults, remarks, options.load_mode), counts_before);
    Built { loaded, revision, sources: packed }
}

/// Logs the first findings; how many there are beyond them.
fn log_first(found: &[Diagnostic], revision: Revision, serving: u64) -> usize {
    found.iter().take(LOGGED_MAX).for_each(|found| log(found, revision, serving));
    found.len().saturating_sub(LOGGED_MAX)
}

/// One line for one finding.
fn log(found: &Diagnostic, revision: Revision, serving: u64) {
    let (file, line, column) = (&found.file, found.position.line, found.position.column);
    let (code, message) = (found.code.as_str(), found.message_with_places());
    match found.severity {
        Severity::Error => {
            tracing::error!(code, %file, line, column, %revision, serving, "policy directory refused: {message}");
        }
        Severity::Warning => tracing::warn!(code, %file, line, column, %revision, "{message}"),
        Severity::Note => tracing::debug!(code, %file, line, column, %revision, "{message}"),
    }
}
