"""Precision, several processes, and the transport of many tensors as one."""
