"""Every kind of audio input of the campaign."""

from importlib.util import find_spec

from hostile import damaged_files, not_audio, sound_content, wav_headers

KINDS = {
    **wav_headers.KINDS,
    **damaged_files.KINDS,
    **sound_content.KINDS,
    **not_audio.KINDS,
}
if find_spec("av") is not None:  # the extra `media`
    from hostile import phone_recordings

    KINDS |= phone_recordings.KINDS
