//! Everything a world holds, declared: what is state has a codec for keyframe and hash, what is not says why it needs
//! none. A world with anything undeclared refuses to be built, so "all state" is enforced. It must not know any rule.
//!
//! The codec is postcard's: a canonical, little binary form of serde data (postcard.jamesmunns.com/wire-format).

use crate::component::Bodies;
use bevy_ecs::component::Mutable;
use bevy_ecs::prelude::{
    Component, Entity, IntoScheduleConfigs, Query, Resource, Schedule, World as EcsWorld,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::any::TypeId;
use std::collections::BTreeSet;

type Encode = fn(&EcsWorld, &mut Vec<u8>);
type Decode = fn(&mut EcsWorld, &[u8]) -> Result<(), String>;

/// A part of the state: a component of all seats, or a resource.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) encode: Encode,
    pub(crate) decode: Decode,
}

/// All declarations.
#[derive(Default)]
pub(crate) struct Registry {
    pub(crate) parts: Vec<Part>,
    known: BTreeSet<TypeId>,
}

impl Registry {
    /// A component that is state: kept for each seat, in the order of seats.
    pub(crate) fn component<T>(&mut self, name: &'static str)
    where
        T: Component<Mutability = Mutable> + Serialize + DeserializeOwned,
    {
        self.known.insert(TypeId::of::<T>());
        let encode: Encode = |ecs, out| {
            for entity in &ecs.resource::<Bodies>().0 {
                encode(&ecs.get::<T>(*entity), out);
            }
        };
        let decode: Decode = |ecs, mut bytes| {
            for entity in ecs.resource::<Bodies>().0.clone() {
                let (value, rest) = postcard::take_from_bytes::<Option<T>>(bytes)
                    .map_err(|error| error.to_string())?;
                bytes = rest;
                match (value, ecs.get_mut::<T>(entity)) {
                    (Some(value), Some(mut slot)) => *slot = value,
                    (None, None) => {}
                    _ => return Err("a seat has other parts than the scenario gives it".into()),
                }
            }
            if bytes.is_empty() {
                Ok(())
            } else {
                Err("there are more seats than the scenario has".into())
            }
        };
        self.parts.push(Part {
            name,
            encode,
            decode,
        });
    }

    /// A resource that is state.
    pub(crate) fn resource<T>(&mut self, name: &'static str)
    where
        T: Resource + Component<Mutability = Mutable> + Serialize + DeserializeOwned,
    {
        self.known.insert(TypeId::of::<T>());
        let encode: Encode = |ecs, out| encode(ecs.resource::<T>(), out);
        let decode: Decode = |ecs, bytes| {
            let (value, rest) =
                postcard::take_from_bytes::<T>(bytes).map_err(|error| error.to_string())?;
            if !rest.is_empty() {
                return Err("there is more than fits".into());
            }
            *ecs.resource_mut::<T>() = value;
            Ok(())
        };
        self.parts.push(Part {
            name,
            encode,
            decode,
        });
    }

    /// Something that is no state; `_why` says so where it is declared.
    pub(crate) fn stateless<T: 'static>(&mut self, _why: &'static str) {
        self.known.insert(TypeId::of::<T>());
    }

    /// Checks that everything registered in `ecs` is declared.
    ///
    /// # Errors
    /// Says how many types are not, and their component numbers.
    pub(crate) fn audit(&self, ecs: &EcsWorld) -> Result<(), String> {
        // What bevy itself brings is what a world has that holds nothing of ours and runs a system that does nothing.
        let mut empty = EcsWorld::new();
        let mut schedule = Schedule::default();
        schedule.add_systems((|_: Query<Entity>| (), |_: Query<Entity>| ()).chain());
        schedule.run(&mut empty);
        let own: BTreeSet<TypeId> = empty
            .components()
            .iter_registered()
            .filter_map(|(_, info)| info.type_id())
            .collect();
        let undeclared: Vec<String> = ecs
            .components()
            .iter_registered()
            .filter(|(_, info)| {
                info.type_id()
                    .is_none_or(|id| !own.contains(&id) && !self.known.contains(&id))
            })
            .map(|(id, info)| format!("component {} ({:?})", id.index(), info.type_id()))
            .collect();
        if undeclared.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{} has no codec for keyframe and hash; declare it in world/build.rs",
            undeclared.join(", ")
        ))
    }
}

fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    let start = std::mem::take(out);
    match postcard::to_extend(value, start) {
        Ok(bytes) => *out = bytes,
        // Only a type that writes sequences without a length can fail, and no state does.
        Err(error) => unreachable!("state that postcard cannot write: {error}"),
    }
}
