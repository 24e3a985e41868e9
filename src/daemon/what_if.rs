//! Plans for `/plan`: the plan of the model that is served, also with other options.
//!
//! They are computed in this process, from the model's header and the memory as it was before the
//! model was loaded: a child process would see the GPUs with the model on them.

use crate::cli::{Config, PlanOptions, in_parameters};
use crate::llama::{GpuDevice, ModelDescription};
use crate::machine::AvailableMemory;
use crate::server::Planner;

use super::error::DaemonError;
use super::plan::{PlanPage, ServePlan, hypothetical_gpus};

/// What a plan is computed from.
#[derive(Debug, Clone)]
pub(super) struct PlanInputs {
    pub(super) description: ModelDescription,
    pub(super) draft: Option<ModelDescription>,
    /// The GPUs, with the memory that was free before the model was loaded.
    pub(super) gpus: Vec<GpuDevice>,
    /// The host RAM that was available then; `None` if that is not known.
    pub(super) available: Option<AvailableMemory>,
}

impl PlanInputs {
    /// Plans the model with these options. GPUs that are assumed belong to another machine, whose
    /// host RAM is not known.
    ///
    /// # Errors
    /// [`DaemonError::Load`], if the configuration does not fit the model.
    pub(super) fn page(
        &self,
        config: &Config,
        options: &PlanOptions,
    ) -> Result<PlanPage, DaemonError> {
        let Self { description, draft, .. } = self;
        let (gpus, available) = match &options.vram[..] {
            [] => (self.gpus.clone(), self.available),
            sizes => (hypothetical_gpus(sizes), None),
        };
        let plan = ServePlan::new(config, description, draft.as_ref(), &gpus, available)?;
        let refusal = plan.check_memory(description, available).err();
        let page = PlanPage::new(description, &plan);
        Ok(page.with_warning(refusal.map(|error| error.to_string())))
    }

    /// The planner of a server with this configuration.
    pub(super) fn into_planner(self, config: Config) -> Planner {
        Planner::new(move |changes| {
            let (config, options) = config.what_if(changes)?;
            let page = self.page(&config, &options);
            let page = page.map_err(|error| in_parameters(&error.to_string()))?;
            Ok(page.json())
        })
    }
}
