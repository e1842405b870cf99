//! Scenario format 1: files in memory -> a typed, checked scenario. It must not know how a world runs.

mod bundle;
mod diagnostic;
mod fault;
mod files;
mod filter;
mod map;
mod metric;
mod params;
mod question;
mod read;
pub mod reader;
mod spec;
#[cfg(test)]
mod tests;
mod time;

pub use bundle::Bundle;
pub use diagnostic::{Diagnostic, Severity, nearest, suggest};
pub use fault::FaultSpec;
pub use files::{FilesSpec, PublishMode};
pub use params::{ParamDoc, ParamType, ParamValue, Params};
pub use question::QuestionSpec;
pub use spec::{LimitSpec, MetricSpec, ScoreSpec};
pub use time::{BankSpec, Mode, OnLate, Per, ThinkSpec, TimeSpec};

pub(crate) use map::{Space, kind_named};
pub(crate) use params::is_name;
pub(crate) use spec::{Kind, Of, Source, Spec};

use crate::action::ActionSpec;

/// The file that every scenario has.
pub const SCENARIO_FILE: &str = "scenario.toml";

/// A scenario that was checked with the defaults of its parameters.
#[derive(Clone, Debug)]
pub struct Scenario {
    bundle: Bundle,
    docs: Vec<ParamDoc>,
    spec: Spec,
}

impl Scenario {
    /// Reads and checks a scenario with the defaults of its parameters.
    ///
    /// # Errors
    /// All faults of all its files, in the order of their places.
    pub fn load(bundle: &Bundle) -> Result<Self, Vec<Diagnostic>> {
        let docs = read_params(bundle)?;
        let spec = read_spec(bundle, &Params::defaults(&docs))?;
        Ok(Self {
            bundle: bundle.clone(),
            docs,
            spec,
        })
    }

    /// Its name: `a-z` first, then `a-z`, `0-9`, `_`, `-`; at most 40 characters.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// A short title.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.spec.title
    }

    /// A sentence or two; may be empty.
    #[must_use]
    pub fn summary(&self) -> &str {
        &self.spec.summary
    }

    /// The cast that is used when none is named.
    #[must_use]
    pub fn default_cast(&self) -> Option<&str> {
        self.spec.cast.as_deref()
    }

    /// `[time]` with default parameters.
    #[must_use]
    pub fn time(&self) -> &TimeSpec {
        &self.spec.time
    }

    /// `[params]`, in the scenario's order.
    #[must_use]
    pub fn param_docs(&self) -> &[ParamDoc] {
        &self.docs
    }

    /// `[limits]` with the values of a run.
    #[must_use]
    pub fn limits(&self, params: &Params) -> LimitSpec {
        self.spec(params)
            .map_or_else(|_| self.spec.limits.clone(), |spec| spec.limits)
    }

    /// `[[metric]]`, in the order of [`TickOutput::metrics`](crate::TickOutput::metrics).
    #[must_use]
    pub fn metrics(&self) -> &[MetricSpec] {
        &self.spec.metrics
    }

    /// `[score]`.
    #[must_use]
    pub fn score(&self) -> &ScoreSpec {
        &self.spec.score
    }

    /// The files.
    #[must_use]
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// The values of a run: the defaults with `(name, text)` overrides, as they stand on a command line.
    ///
    /// # Errors
    /// One fault for each override that names no parameter, or a value that the parameter does not allow; and the
    /// faults that the scenario has with these values.
    pub fn params(&self, overrides: &[(String, String)]) -> Result<Params, Vec<Diagnostic>> {
        let params = Params::resolve(&self.docs, overrides)?;
        self.spec(&params)?;
        Ok(params)
    }

    /// The rules in words, for an agent that has never seen the world.
    #[must_use]
    pub fn rules_text(&self, params: &Params) -> String {
        self.spec(params)
            .map(|spec| spec.mechanics.rules_text(&spec))
            .unwrap_or_default()
    }

    /// The tree that the agents have in common; none where the scenario has none.
    #[must_use]
    pub fn files(&self, params: &Params) -> Option<FilesSpec> {
        self.spec(params).ok().and_then(|spec| spec.files)
    }

    /// What goes wrong around the agents.
    #[must_use]
    pub fn faults(&self, params: &Params) -> Vec<FaultSpec> {
        self.spec(params)
            .map(|spec| spec.faults)
            .unwrap_or_default()
    }

    /// What the scenario asks its agents.
    #[must_use]
    pub fn questions(&self, params: &Params) -> Vec<QuestionSpec> {
        self.spec(params)
            .map(|spec| spec.questions)
            .unwrap_or_default()
    }

    /// The action catalogue.
    #[must_use]
    pub fn catalogue(&self, params: &Params) -> Vec<ActionSpec> {
        self.spec(params)
            .map(|spec| spec.mechanics.catalogue())
            .unwrap_or_default()
    }

    /// The whole scenario with the values of a run.
    pub(crate) fn spec(&self, params: &Params) -> Result<Spec, Vec<Diagnostic>> {
        read_spec(&self.bundle, params)
    }
}

fn open(bundle: &Bundle) -> Result<reader::Reader, Vec<Diagnostic>> {
    let Some(bytes) = bundle.get(SCENARIO_FILE) else {
        let fault = Diagnostic::error(SCENARIO_FILE, "", 0..0, "the scenario has no scenario.toml");
        return Err(vec![fault.help("name a folder that holds one")]);
    };
    let reader = reader::Reader::parse(SCENARIO_FILE, bytes);
    // After a fault of syntax the tree has holes, and what would be said about them is noise.
    if reader.failed() {
        Err(reader.into_faults())
    } else {
        Ok(reader)
    }
}

fn read_params(bundle: &Bundle) -> Result<Vec<ParamDoc>, Vec<Diagnostic>> {
    let mut reader = open(bundle)?;
    let root = reader.root();
    let docs = params::read(&root, &reader);
    root.forget();
    if !reader.failed() {
        return Ok(docs);
    }
    // The rest is read with the parameters that could be, so that one look shows all faults.
    reader.set_params(Params::defaults(&docs));
    let _ = read_root(&reader, bundle);
    Err(reader.into_faults())
}

fn read_spec(bundle: &Bundle, params: &Params) -> Result<Spec, Vec<Diagnostic>> {
    let mut reader = open(bundle)?;
    reader.set_params(params.clone());
    let spec = read_root(&reader, bundle);
    let failed = reader.failed();
    match spec {
        Some(spec) if !failed => Ok(spec),
        _ => Err(reader.into_faults()),
    }
}

fn read_root(reader: &reader::Reader, bundle: &Bundle) -> Option<Spec> {
    let root = reader.root();
    if let Some(item) = root.need("format", "format = 1, first in the file") {
        item.int(1..=1);
    }
    read::read(&root, bundle)
}
