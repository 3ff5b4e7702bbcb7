"""Damaged files of every form that the program reads: each is refused by its documented error, or read and used."""

from hostile import checksummed_forms, file_forms, uses
from hostile.damage import flip_one_bit
from hostile.trial import Failure, Trial, describe

# Picture and RecordedEpisode are listed twice, so that twice as many attempts attack them: they have the most code.
FORMS: tuple[type[file_forms.FileForm], ...] = (
    file_forms.Idx,
    file_forms.Bomb,
    file_forms.Npz,
    file_forms.Picture,
    file_forms.Picture,
    file_forms.ClassFolders,
    file_forms.DataSetFile,
    checksummed_forms.Agent,
    checksummed_forms.State,
    checksummed_forms.ResultFile,
    checksummed_forms.BenchmarkRecord,
    checksummed_forms.RecordedEpisode,
    checksummed_forms.RecordedEpisode,
    checksummed_forms.AttentionMnist,
    checksummed_forms.Readme,
)


class Files(Trial):
    def __init__(self, folder):
        super().__init__(folder)
        self.forms = [form() for form in FORMS]

    def attempt(self, rng, folder):
        """Damage one file, read it, and use what was read."""
        form = self.forms[int(rng.integers(len(self.forms)))]
        name = type(form).__name__
        path = form.write(rng, folder)
        must_be_refused = form.has_checksum and path.suffix != ".gz" and rng.random() < 0.4
        if must_be_refused:
            path.write_bytes(flip_one_bit(rng, path.read_bytes()))
        else:
            form.damage(rng, path)
        try:
            content = form.read(path)
        except form.refusals as error:
            if not any(part in str(error) for part in (path.name, path.parent.name, folder.name)):
                raise Failure(f"{name}: the error does not name the file {path.name}: {describe(error)}") from error
            if str(path).isprintable():
                uses.check_lines(str(error))
        except Exception as error:
            raise Failure(f"{name}, {path.name}: {type(error).__name__}: {describe(error)}") from error
        else:
            if must_be_refused:
                raise Failure(f"{name}, {path.name}: a changed bit was not noticed")
            form.use(rng, content, path)
            uses.check_nothing_imported()
        return 1
