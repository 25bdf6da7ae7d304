//! The pair simulator: two decision cores on virtual time with lossy links and a modelled array.
