//! What a service manager is told over its notify socket; nothing where there is none.
//!
//! `READY=1` comes with the first policy set and not before: a unit of `Type=notify` is up when requests are answered.

use std::time::Duration;

use portcullis_server::Lifecycle;
use portcullis_store::{Status, Store};
use sd_notify::NotifyState;

/// Watched processes speak at this part of the time they have.
const WATCHDOG_PART: u32 = 2;

/// Tells of the first policy set, of reloads, of the end, and that the process is alive.
pub(super) async fn tell(store: &Store, lifecycle: &Lifecycle) {
    let alive = async {
        let Some(limit) = sd_notify::watchdog_enabled() else { return };
        loop {
            say(&[NotifyState::Watchdog]);
            tokio::time::sleep((limit / WATCHDOG_PART).max(Duration::from_millis(10))).await;
        }
    };
    let ending = async {
        lifecycle.stopping().await;
        say(&[NotifyState::Stopping, NotifyState::Status("draining")]);
    };
    tokio::join!(alive, follow(store, lifecycle), ending);
}

/// Says that the end has come to its end.
pub(super) fn stopped() {
    say(&[NotifyState::Status("ended")]);
}

async fn follow(store: &Store, lifecycle: &Lifecycle) {
    let (mut statuses, mut reloads) = (store.subscribe_status(), lifecycle.reloads());
    if statuses.wait_for(|status| status.generation > 0).await.is_err() {
        return;
    }
    say(&[NotifyState::Ready, NotifyState::Status(&phrase(&store.status()))]);
    let mut told = store.status().generation;
    loop {
        tokio::select! {
            asked = reloads.changed() => {
                if asked.is_err() {
                    return;
                }
                let scans = store.status().scans;
                match NotifyState::monotonic_usec_now() {
                    Ok(now) => say(&[NotifyState::Reloading, now]),
                    Err(error) => tracing::debug!(%error, "no monotonic clock for the service manager"),
                }
                // The first may have begun before it was asked for; the second is asked for, because the next poll may be far.
                for looked in 1..=2 {
                    if statuses.wait_for(|status| status.scans >= scans + looked).await.is_err() {
                        return;
                    }
                    if looked == 1 {
                        store.rescan();
                    }
                }
                say(&[NotifyState::Ready, NotifyState::Status(&phrase(&store.status()))]);
            }
            changed = statuses.changed() => {
                if changed.is_err() {
                    return;
                }
                let status = statuses.borrow_and_update().clone();
                if status.generation != told {
                    told = status.generation;
                    say(&[NotifyState::Status(&phrase(&status))]);
                }
            }
        }
    }
}

fn phrase(status: &Status) -> String {
    let degraded = if status.is_degraded() { ", degraded" } else { "" };
    format!("serving generation {}{degraded}", status.generation)
}

fn say(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}
