"""How tensors are computed: in which precision, and by how many processes."""
