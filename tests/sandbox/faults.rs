//! Every fault, as a client sees it.
