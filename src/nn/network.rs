//! TODO
pub struct Network;
