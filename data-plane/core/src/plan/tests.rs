//! What a request becomes, in both eras.

mod legacy;
mod modern;
mod progressive;
mod rest;
mod retries;
mod shaped;
