"""What diffusion and training did in a run: tables, figures, and one page that shows them."""

from kdiffe_dgl.inspection.inspection import Inspection
from kdiffe_dgl.inspection.options import InspectionOptions

__all__ = ["Inspection", "InspectionOptions"]
