/** What is read beside the weights. Of these a checkpoint has some, and config.json always. */
export const settingsFiles: readonly string[] = [
  'config.json',
  'generation_config.json',
  'preprocessor_config.json',
  'video_preprocessor_config.json',
  'processor_config.json',
  'chat_template.json',
  'chat_template.jinja',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
];
