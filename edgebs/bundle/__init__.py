"""The folder that is shipped to an appliance: manifest, engines, checks."""
