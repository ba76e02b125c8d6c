//! In: what happens to a pool. Out: whether its actions are the rules.
