"""The page: a study's tables and figures as a site of files that needs no server and no network."""

from fstore.queries.publish.build import build_page
from fstore.queries.publish.folder import check_place, study_of

__all__ = ["build_page", "check_place", "study_of"]
