"""Sources of the documentation site: the pages of docs/, and pages and pictures made from the package."""
