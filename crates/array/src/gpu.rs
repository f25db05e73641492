//! Operations on GPU tensors through the dispatching Burn backend.
