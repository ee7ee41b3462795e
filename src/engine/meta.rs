//! The replication state that lives in the replicated database (being written).
