"""A museum of spiking neural networks that learn through feedback pathways and local plasticity."""

from exhibits.common.system.errors import UserError

__all__ = ["UserError"]
