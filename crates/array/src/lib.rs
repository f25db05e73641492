//! Arrays with derivatives of any order.
