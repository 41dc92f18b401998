//! The rules of the tree, held by tests: who may import whom, how long files are, what is banned, that
//! what `deploy/` runs exists.

mod deploy;
mod edges;
mod manifests;
mod sources;
