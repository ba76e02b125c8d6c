//! What an app shares between its handlers: values by type go in, clones come out.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;

use super::{Context, FromContext};
use crate::error::Error;

/// A value that the app was given with [`App::state`](crate::app::App::state).
#[derive(Debug, Clone)]
pub struct State<T>(pub T);

/// The values of an app, at most one of a type.
#[derive(Default)]
pub struct States(HashMap<TypeId, Box<dyn Any + Send + Sync>>);

impl States {
    pub(crate) fn insert<T: Clone + Send + Sync + 'static>(&mut self, value: T) {
        self.0.insert(TypeId::of::<T>(), Box::new(value));
    }

    fn get<T: Clone + 'static>(&self) -> Option<T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref::<T>().cloned()
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "States({})", self.0.len())
    }
}

impl<T: Clone + Send + Sync + 'static> FromContext for State<T> {
    fn from_context(context: &Context) -> Result<Self, Error> {
        let missing = || Error::internal(format!("no state of type `{}`", type_name::<T>()));
        context.states.get().map(State).ok_or_else(missing)
    }

    fn check(states: &States) -> Result<(), &'static str> {
        states.get::<T>().map(drop).ok_or(type_name::<T>())
    }
}
