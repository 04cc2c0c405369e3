//! What a request becomes, in both eras.

mod legacy;
mod modern;
mod rest;
mod retries;
mod shaped;
