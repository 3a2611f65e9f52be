"""CF-DAPO: counterfactual credit assignment for policy optimization, as a reproducible study."""

__version__ = "0.1.0"
