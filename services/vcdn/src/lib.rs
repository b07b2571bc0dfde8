//! A surrogate: keeps shared answers of the service whose name it fronts close to the viewers.

pub mod rules;
