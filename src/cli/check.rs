//! `formicarium check`: the scenario and all its casts, every fault in one go.

use clap::Args;
use formicarium_engine::{Scenario, World};

use super::{Exit, diagnose, fail, pair};
use crate::run::prompt::Prompts;
use crate::{cast, library};

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// A scenario's folder, or the name of a shipped one.
    scenario: String,
    /// Check with this parameter changed; may be given again.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
}

pub(super) fn run(args: &CheckArgs) -> Exit {
    let source = match library::find(&args.scenario) {
        Ok(source) => source,
        Err(error) => return fail(Exit::Usage, &error),
    };
    let bundle = &source.bundle;
    let mut list = Vec::new();
    match Scenario::load(bundle) {
        Ok(scenario) => match scenario
            .params(&args.set)
            .and_then(|params| World::new(&scenario, &params, 1))
        {
            Ok(world) => {
                if let Some(name) = scenario
                    .default_cast()
                    .filter(|name| bundle.get(&format!("casts/{name}.toml")).is_none())
                {
                    eprintln!("note: its default cast '{name}' is not there");
                }
                println!(
                    "{}: {} seats, {} actions",
                    scenario.name(),
                    world.seats().len(),
                    world.catalogue().len()
                );
            }
            Err(faults) => list.extend(faults),
        },
        Err(faults) => list.extend(faults),
    }
    for name in cast::names(bundle) {
        if let Err(cast::CastError::Broken(faults)) = cast::load(bundle, &name) {
            list.extend(faults);
        }
    }
    if let Err(error) = Prompts::new(bundle) {
        diagnose::print(&list, bundle);
        return fail(Exit::Usage, &error);
    }
    if list.is_empty() {
        println!(
            "{}: good; casts: {}",
            args.scenario,
            cast::names(bundle).join(", ")
        );
        return Exit::Good;
    }
    diagnose::print(&list, bundle);
    Exit::Usage
}
