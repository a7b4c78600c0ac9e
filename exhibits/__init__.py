"""A museum of spiking neural networks that learn through feedback pathways and local plasticity."""
