//! Makes a world: seats and their bodies on their cells, resources, the schedule, and the declaration of all of it.
//! It must not know what a step does.

use super::set::Source;
use super::{Executor, SeatInfo, World};
use crate::component::{Bodies, Cells, Facing, Held, Mailbox, Position, Presence, Score, Seat};
use crate::id::SeatId;
use crate::mechanic::harvest::{Orchard, Sites};
use crate::mechanic::matrix::Matches;
use crate::mechanic::movement::Moved;
use crate::mechanic::order::{Clock, Inbox, Orders, Outbox, Rejected, Rules, by};
use crate::mechanic::report::Reports;
use crate::mechanic::sanction::{Cooldown, Timeout};
use crate::mechanic::{Mechanics, schedule, vision};
use crate::registry::Registry;
use crate::rng::{Stream, System};
use crate::scenario::{Diagnostic, SCENARIO_FILE, Spec};
use crate::space::Dir;
use crate::world::measure::Tallies;
use bevy_ecs::prelude::{Resource, Schedule, World as EcsWorld};
use bevy_ecs::schedule::SingleThreadedExecutor;
use std::sync::Arc;

/// The kind of each seat's body. Follows from the scenario.
#[derive(Resource)]
pub(super) struct Kinds(pub(super) Vec<u16>);

/// Declares every type that a world holds. What came after semantics 1 is state only where a scenario has it, so that the
/// hashes of the others stay.
fn registry(spec: &Spec) -> Registry {
    let mut registry = Registry::default();
    registry.resource::<Clock>("clock");
    registry.component::<Seat>("seat");
    registry.component::<Presence>("presence");
    registry.component::<Position>("position");
    registry.component::<Facing>("facing");
    registry.component::<Timeout>("timeout");
    registry.component::<Cooldown>("cooldown");
    registry.component::<Score>("score");
    registry.component::<Mailbox>("mailbox");
    registry.resource::<Orchard>("orchard");
    registry.resource::<Matches>("matches");
    registry.resource::<Tallies>("tallies");
    if spec.mechanics.report.is_some() {
        registry.component::<Reports>("reports");
    } else {
        registry.stateless::<Reports>("the scenario has none");
    }
    if spec.time.think.is_some() {
        registry.component::<Held>("held");
    } else {
        registry.stateless::<Held>("thinking costs nothing in the scenario");
    }
    registry.stateless::<Rules>("follows from scenario, params and seed");
    registry.stateless::<Bodies>("follows from the number of seats");
    registry.stateless::<Kinds>("follows from the scenario");
    registry.stateless::<Sites>("follows from the scenario");
    registry.stateless::<Cells>("a mirror of positions and sites");
    registry.stateless::<Inbox>("empty between steps");
    registry.stateless::<Orders>("empty between steps");
    registry.stateless::<Rejected>("empty between steps");
    registry.stateless::<Moved>("written anew by each step before it is read");
    registry.stateless::<Outbox<by::Intake>>("empty between steps");
    registry.stateless::<Outbox<by::Speech>>("empty between steps");
    registry.stateless::<Outbox<by::Sanction>>("empty between steps");
    registry.stateless::<Outbox<by::Movement>>("empty between steps");
    registry.stateless::<Outbox<by::Harvest>>("empty between steps");
    registry.stateless::<Outbox<by::Matrix>>("empty between steps");
    registry.stateless::<Outbox<by::Report>>("empty between steps");
    registry
}

/// Makes a world; `extra` may put more into it (tests do, to see it refused).
pub(super) fn world(
    mut spec: Spec,
    source: Source,
    extra: impl FnOnce(&mut EcsWorld),
) -> Result<World, Vec<Diagnostic>> {
    let seed = source.seed;
    spec.time.ticks = vision::last_tick(&spec);
    let catalogue: Arc<[_]> = spec.mechanics.catalogue().into();
    let ids = Mechanics::ids(&catalogue);
    let rules = Rules {
        spec: Arc::new(spec),
        catalogue,
        ids,
        seed,
    };
    let spec = &rules.spec;
    let mut ecs = EcsWorld::new();
    let seats = seat_infos(spec);
    let starts = starts(spec, seed);
    let mut bodies = Vec::with_capacity(seats.len());
    for index in 0..seats.len() {
        let seat = Seat(SeatId(index as u32));
        let mut entity = ecs.spawn((
            seat,
            Presence::default(),
            Score::default(),
            Mailbox::default(),
        ));
        if let Some(cell) = starts.get(index) {
            entity.insert((Position(*cell), Facing(Dir::North)));
        }
        if spec.mechanics.sanction.is_some() {
            entity.insert((Timeout::default(), Cooldown::default()));
        }
        if let Some(config) = &spec.mechanics.report {
            entity.insert(Reports::new(config));
        }
        if spec.time.think.is_some() {
            entity.insert(Held::default());
        }
        bodies.push(entity.id());
    }
    let kinds = spec
        .seats
        .iter()
        .flat_map(|group| std::iter::repeat_n(group.kind, group.count as usize));
    ecs.insert_resource(Kinds(kinds.collect()));
    ecs.insert_resource(Bodies(bodies));
    let sites = match (&spec.mechanics.harvest, &spec.space) {
        (Some(harvest), Some(space)) => Sites::new(harvest, space),
        _ => Sites::default(),
    };
    ecs.insert_resource(Orchard {
        live: vec![true; sites.cells.len()],
    });
    ecs.insert_resource(sites);
    let players = if spec.mechanics.matrix.is_some() {
        seats.len()
    } else {
        0
    };
    ecs.insert_resource(Matches::new(players));
    ecs.insert_resource(Tallies::new(spec.metrics.len()));
    ecs.insert_resource(rules.clone());
    ecs.init_resource::<Clock>();
    ecs.init_resource::<Cells>();
    ecs.init_resource::<Inbox>();
    ecs.init_resource::<Orders>();
    ecs.init_resource::<Rejected>();
    ecs.init_resource::<Moved>();
    ecs.init_resource::<Outbox<by::Intake>>();
    ecs.init_resource::<Outbox<by::Speech>>();
    ecs.init_resource::<Outbox<by::Sanction>>();
    ecs.init_resource::<Outbox<by::Movement>>();
    ecs.init_resource::<Outbox<by::Harvest>>();
    ecs.init_resource::<Outbox<by::Matrix>>();
    ecs.init_resource::<Outbox<by::Report>>();
    extra(&mut ecs);
    let mut schedule = schedule();
    set_executor(&mut schedule, Executor::Single);
    schedule
        .initialize(&mut ecs)
        .map_err(|error| vec![bug(format!("the order of systems is ambiguous: {error:?}"))])?;
    let registry = registry(spec);
    registry.audit(&ecs).map_err(|what| vec![bug(what)])?;
    let mut world = World {
        source,
        ecs,
        schedule,
        registry,
        seats,
        rules,
        things: Vec::new(),
        scratch: Vec::new(),
    };
    world.refresh();
    Ok(world)
}

/// A fault of the engine itself, told the same way as one of a scenario.
fn bug(message: String) -> Diagnostic {
    Diagnostic::error(
        SCENARIO_FILE,
        "",
        0..0,
        format!("a fault of the engine: {message}"),
    )
    .help("report it")
}

pub(super) fn set_executor(schedule: &mut Schedule, executor: Executor) {
    match executor {
        Executor::Single => {
            schedule.set_executor(SingleThreadedExecutor::new());
        }
        #[cfg(feature = "threads")]
        Executor::Threads(threads) => {
            bevy_tasks::ComputeTaskPool::get_or_init(|| {
                bevy_tasks::TaskPoolBuilder::new()
                    .num_threads(threads.max(1))
                    .build()
            });
            schedule.set_executor(bevy_ecs::schedule::MultiThreadedExecutor::new());
        }
    }
}

impl World {
    /// Makes what follows from the state: the mirror, and the things of the picture.
    pub(super) fn refresh(&mut self) {
        let cells = self.mirror();
        self.ecs.insert_resource(cells);
        self.things = self.draw();
    }
}

fn seat_infos(spec: &Spec) -> Vec<SeatInfo> {
    let mut seats = Vec::with_capacity(spec.seat_count());
    for group in &spec.seats {
        for name in group.names() {
            seats.push(SeatInfo {
                name,
                group: group.name.clone(),
                role: group.role.clone(),
            });
        }
    }
    seats
}

/// A cell for each seat: group by group, from its spawns in their order, each spawn's cells shuffled by the seed.
/// The check of the scenario has made sure that there are enough.
fn starts(spec: &Spec, seed: u64) -> Vec<u32> {
    let Some(space) = &spec.space else {
        return Vec::new();
    };
    let mut shuffled: Vec<(&str, Vec<u32>)> = Vec::new();
    for (index, (name, cells)) in space.spawns.iter().enumerate() {
        let solid = |cell: u32| match space.kinds[cell as usize] {
            0 => false,
            kind => spec.kinds[usize::from(kind) - 1].solid,
        };
        let mut cells: Vec<u32> = cells.iter().copied().filter(|cell| !solid(*cell)).collect();
        let mut stream = Stream::new(seed, 0, System::Spawn, index as u32);
        for last in (1..cells.len()).rev() {
            cells.swap(last, stream.below(last as u32 + 1) as usize);
        }
        shuffled.push((name, cells));
    }
    let mut taken = vec![false; space.kinds.len()];
    let mut starts = Vec::with_capacity(spec.seat_count());
    for group in &spec.seats {
        let cells = group
            .spawns
            .iter()
            .filter_map(|spawn| shuffled.iter().find(|(name, _)| name == spawn));
        let mut free = cells.flat_map(|(_, cells)| cells.iter().copied());
        for _ in 0..group.count {
            if let Some(cell) = free.find(|cell| !taken[*cell as usize]) {
                taken[cell as usize] = true;
                starts.push(cell);
            }
        }
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use bevy_ecs::prelude::Component;

    #[derive(Component)]
    struct Undeclared;

    #[derive(Resource)]
    struct UndeclaredResource;

    #[test]
    fn what_has_no_codec_refuses_to_build() {
        let scenario = fixture::commons();
        let params = scenario.params(&[]).unwrap();
        let spec = || scenario.spec(&params).unwrap();
        let source = || Source::new(&scenario, &params, 1);
        assert_eq!(world(spec(), source(), |_| ()).err(), None);
        let with_component = world(spec(), source(), |ecs| {
            ecs.spawn(Undeclared);
        });
        assert!(with_component.err().unwrap()[0].message.contains("codec"));
        let with_resource = world(spec(), source(), |ecs| {
            ecs.insert_resource(UndeclaredResource)
        });
        assert!(with_resource.err().unwrap()[0].message.contains("codec"));
    }

    #[test]
    fn an_ambiguous_order_refuses_to_build() {
        use bevy_ecs::prelude::ResMut;
        let mut schedule = schedule();
        schedule.add_systems(|mut clock: ResMut<Clock>| clock.0 += 1);
        let mut ecs = EcsWorld::new();
        assert!(
            schedule.initialize(&mut ecs).is_err(),
            "two unordered users of the clock"
        );
    }
}
