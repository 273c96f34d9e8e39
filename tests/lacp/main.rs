//! LACP's machines: systems that exchange LACPDUs in virtual time, without sockets.

mod bits;
mod bytes;
mod checks;
mod choice;
mod defects;
mod idle;
mod lab;
mod limits;
mod links;
mod markers;
mod negotiation;
mod orders;
mod partners;
mod parts;
mod peers;
mod properties;
mod reports;
mod restarts;
mod solo;
mod tables;
mod twins;
mod whole;
mod wirings;
mod zoo;
