//! [`Planner`]: computes one plan at a time.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Computes plans: from names and values of options to JSON.
#[derive(Clone)]
pub struct Planner {
    compute: Arc<PlanFn>,
    /// The permit to compute.
    turn: Arc<Semaphore>,
}

/// Takes names and values of options. Returns the plan as JSON, or what is wrong with them.
type PlanFn = dyn Fn(&[(String, String)]) -> Result<String, String> + Send + Sync;

impl Planner {
    /// A planner that calls `compute` on a thread for blocking work.
    pub fn new(
        compute: impl Fn(&[(String, String)]) -> Result<String, String> + Send + Sync + 'static,
    ) -> Self {
        Self { compute: Arc::new(compute), turn: Arc::new(Semaphore::new(1)) }
    }

    /// The plan with these values of options; `None` if computing it panicked.
    pub(super) async fn plan(
        &self,
        changes: Vec<(String, String)>,
    ) -> Option<Result<String, String>> {
        let turn = self.turn.clone().acquire_owned().await.ok()?;
        let compute = self.compute.clone();
        let computed = spawn_blocking(move || {
            let _turn = turn;
            compute(&changes)
        });
        computed.await.ok()
    }
}

impl fmt::Debug for Planner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Planner")
    }
}
