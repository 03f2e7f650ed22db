//! Sans-IO WebRTC receive core.
