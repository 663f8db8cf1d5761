"""The booking-curve family: what tickets sold by now say of an event on sale. Frames and arrays in, predictions out."""
